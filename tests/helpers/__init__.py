"""Helpers that several packages of tests share, for projects, commands, processes, servers and tiny data."""
