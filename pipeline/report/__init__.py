"""What people read: tables, pages, figures."""
