"""What people read: terminal output, tables, pages, figures."""
