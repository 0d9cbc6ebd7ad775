"""Back up, restore and rehearse the recovery of a PostgreSQL-backed community node."""

import logging

__version__ = "0.1.0"

# Without a handler, logging prints warnings on stderr by itself, where people have already been told.
logging.getLogger(__name__).addHandler(logging.NullHandler())
