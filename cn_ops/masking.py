"""Keep secrets out of everything that is written for people to read."""

from __future__ import annotations

import logging
import re

MASK = "********"

# Passwords that were not percent-encoded may hold @, and in the URL of a database also a slash.
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/]+(?=@)", re.IGNORECASE)
_DATABASE_URL_PASSWORD = re.compile(r"(?P<head>\bpostgres(?:ql)?://[^\s:/@]*:)\S+(?=@)", re.IGNORECASE)
# libpq's key words and environment names, in conninfo strings, YAML, JSON and tools' messages
_KEY_PASSWORD = re.compile(
    r"""(?P<head>\b\w*(?:password|passwd|secret)\w*["']?\s*[=:]\s*)"""
    r"""(?:'(?:\\.|''|[^'\\])*(?:'|\Z)|"(?:\\.|[^"\\])*(?:"|\Z)|[^\s'",]+)""",
    re.IGNORECASE | re.DOTALL,
)
# ALTER ROLE … PASSWORD 'SCRAM-SHA-256$…', as in a dump of globals; what follows --no-password is no password
_SQL_PASSWORD = re.compile(r"(?P<head>(?<!-no-)\bPASSWORD\s+)'(?:''|[^'])*(?:'|\Z)", re.IGNORECASE)

_known: set[str] = set()


def remember(secret: str | None) -> None:
    """Mask this very value from now on, wherever it appears."""
    # A secret shorter than that would mask ordinary words: the patterns have to do.
    if secret and len(secret) >= 4:
        _known.add(secret)


def mask(text: str) -> str:
    """Return the text with known secrets and what looks like a password replaced."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return mask_patterns(text)


def mask_patterns(text: str) -> str:
    """Return the text with what looks like a password replaced: the same for everybody, whatever they know."""
    for pattern in (_DATABASE_URL_PASSWORD, _URL_PASSWORD, _KEY_PASSWORD, _SQL_PASSWORD):
        text = pattern.sub(rf"\g<head>{MASK}", text)
    return text


class MaskingFormatter(logging.Formatter):
    """A log formatter whose output holds no secret, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record and mask the result."""
        return mask(super().format(record))
