"""Read a DSN as libpq does: a URL, or `keyword=value` pairs.

psycopg could do that, and has its home elsewhere; the tests hold this to what libpq itself reads.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

SCHEMES = ("postgresql://", "postgres://")

_SPACE = " \t\n\r\v\f"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_USERINFO = re.compile(r"(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@")
_HOST = re.compile(r"(?:\[(?P<v6>[^]]+)\](?=[:/?,]|\Z)|(?!\[)(?P<host>[^:/?,]*))(?::(?P<port>[^/?,]*))?(?P<more>,?)")


class BadDsn(ValueError):
    """A DSN that cannot be used; the message completes "stack.server.dsn: …" and holds no secret."""


def parse_dsn(text: str) -> dict[str, str]:
    """Return the connection parameters that a DSN gives; raises ``BadDsn``."""
    for scheme in SCHEMES:
        if text.startswith(scheme):
            return _url(text.removeprefix(scheme))
    if "=" not in text:
        raise BadDsn("must be `postgresql://user@host/database`, or `host=… user=… dbname=…`")
    return _pairs(text)


def _url(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if userinfo := _USERINFO.match(rest):
        found["user"], found["password"] = userinfo["user"], userinfo["password"] or ""
        rest = rest[userinfo.end() :]
    hosts, ports = [], []
    more = True
    while more:
        one = _HOST.match(rest)
        if one is None:
            raise BadDsn("its host cannot be read: an IPv6 address stands in [brackets]")
        hosts.append(one["v6"] or one["host"] or "")
        ports.append(one["port"] or "")
        rest, more = rest[one.end() :], bool(one["more"])
    path, _, query = rest.partition("?")
    found |= {"host": ",".join(hosts), "port": ",".join(ports), "dbname": path.removeprefix("/")}
    given = {name: _decoded(value) for name, value in found.items() if value}
    return given | _query(query)


def _query(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.removesuffix("&").split("&") if text else ():
        name, equals, value = part.partition("=")
        if not equals or "=" in value:
            raise BadDsn("its query must be `name=value&name=value`, other `=` and `&` written as %3D and %26")
        name, value = _decoded(name), _decoded(value)
        # as libpq does, for the sake of JDBC's URLs
        found |= {"sslmode": "require"} if (name, value) == ("ssl", "true") else _aliased(name, value)
    return found


def _decoded(text: str) -> str:
    if any(character in _SPACE for character in text):
        raise BadDsn("must not hold spaces: a space in a URL is written as %20")
    if _BAD_ESCAPE.search(text):
        raise BadDsn("has a % that begins no escape: a percent sign in a URL is written as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadDsn("has an escape that is not UTF-8") from None


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = _skip(text, 0)
    while position < len(text):
        equals = text.find("=", position)
        name = text[position:equals].rstrip(_SPACE) if equals >= 0 else ""
        if not name or any(character in _SPACE for character in name):
            raise BadDsn("must be `name=value` pairs with spaces between; a value with spaces is 'quoted'")
        value, position = _value(text, _skip(text, equals + 1))
        found |= _aliased(name, value)
        position = _skip(text, position)
    return found


def _value(text: str, position: int) -> tuple[str, int]:
    """Read a value and return it with the position after it; a backslash takes the next character as it is."""
    quoted = text[position : position + 1] == "'"
    position += quoted
    value = ""
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\\":
            value += text[position : position + 1]
            position += 1
        elif character == "'" if quoted else character in _SPACE:
            return value, position
        else:
            value += character
    if quoted:
        raise BadDsn("has a quote that is not closed")
    return value, position


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _aliased(name: str, value: str) -> dict[str, str]:
    if name == "requiressl":  # what sslmode was called before PostgreSQL 8
        return {"sslmode": "require" if value.startswith("1") else "prefer"}
    return {name: value}
