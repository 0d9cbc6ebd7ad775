"""Back up, restore and rehearse the recovery of a PostgreSQL-backed community node."""

__version__ = "0.1.0"
