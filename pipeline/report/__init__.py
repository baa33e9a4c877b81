"""Results in readable form: terminal output, tables, pages and pictures."""
