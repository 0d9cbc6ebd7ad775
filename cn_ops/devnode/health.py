"""Whether a service can use its database, said once each time that changes."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Health:
    """The last known state; a log line marks each change of it."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.is_lost = False

    def lost(self, reason: str) -> None:
        """Note that the database cannot be used."""
        if not self.is_lost:
            logger.warning("%s: the database cannot be used: %s", self._service, reason)
        self.is_lost = True

    def found(self) -> None:
        """Note that it can."""
        if self.is_lost:
            logger.info("%s: the database is back", self._service)
        self.is_lost = False
