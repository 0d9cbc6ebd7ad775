"""A fault at the external calls of a command: what is swept, what is tried, and which rules must hold."""
