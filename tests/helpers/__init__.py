"""Helpers that several packages of tests share: a project, commands, processes, servers, tiny data."""
