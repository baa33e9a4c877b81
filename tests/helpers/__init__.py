"""Helpers of several rooms of tests: a project to run commands in, commands, processes, servers, tiny data."""
