"""Results for people: terminal output, tables, pages, figures."""
