"""What people read: a call in a terminal, in Chinese."""
