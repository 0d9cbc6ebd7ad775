"""The types of settings: what each accepts, and what that is called in messages and in the reference."""

from __future__ import annotations

import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    Field,
    SecretStr,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

# An error of this type carries a message that was written for people.
SAID = "said"
# PostgreSQL cuts longer names off, silently.
LONGEST_NAME_BYTES = 63
# A file name is limited to 255 bytes; the time, the random part and the suffix follow the prefix.
LONGEST_PREFIX = 100
LONGEST_WAIT = 86_400

_NO_CONTROL = r"[^\x00-\x1f\x7f-\x9f]"


@dataclass(frozen=True)
class Meaning:
    """What a text must be; completes "must be …"."""

    text: str


def said(message: str) -> PydanticCustomError:
    """Make an error whose message reaches people as it is."""
    # The message is a parameter, because braces in a template are replaced.
    return PydanticCustomError(SAID, "{message}", {"message": message})


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that names something twice."""
    twice = next((value for position, value in enumerate(values) if value in values[:position]), None)
    if twice is not None:
        raise said(f"must name each one once; {str(twice)!r} is there twice")
    return values


def _short_name(name: str) -> str:
    size = len(name.encode(errors="replace"))
    if size > LONGEST_NAME_BYTES:
        raise said(f"must be at most {LONGEST_NAME_BYTES} bytes long, has {size}")
    return name


def _short_names(table: str) -> str:
    for name in table.split("."):
        _short_name(name)
    return table


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise said("must be a URL whose host and port (1 to 65535) can be used") from None
    if not parts.hostname or port == 0:
        raise said("must be a URL whose host and port (1 to 65535) can be used")
    if parts.username is not None or parts.password is not None:
        raise said("must not hold a user or a password")
    if parts.query or parts.fragment:
        raise said("must not hold a query or a fragment")
    return text


def _command_line(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        raise said("must be a command line whose quotes are closed") from None
    if not words or not words[0]:
        raise said("must be a command line, not nothing")
    return text


def _program(argv: tuple[str, ...]) -> tuple[str, ...]:
    if argv and not argv[0].strip():
        raise said("must begin with a program")
    return argv


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text or any(_is_control(character) for character in text):
        raise said("must be one line of text without control characters, and not nothing")
    return secret


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _location(value: Any) -> Any:
    if not isinstance(value, str | Path):
        return value
    text = str(value) if value != "" else ""
    if not text:
        raise said("must be a path, not nothing")
    if any(_is_control(character) for character in text):
        raise said("must be a path without control characters")
    try:
        text.encode()
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise said("must be a path in UTF-8") from None
    except RuntimeError:
        raise said("must be a path: the home folder that it names is not known") from None


Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(False)]
Seconds = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0, le=LONGEST_WAIT)]
Boolean = Annotated[bool, Strict()]
Location = Annotated[Path, BeforeValidator(_location)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]

# Any name that PostgreSQL takes; names are always quoted when they are used.
Name = Annotated[
    str,
    StringConstraints(pattern=rf"^{_NO_CONTROL}+$"),
    AfterValidator(_short_name),
    Meaning(f"a name: at most {LONGEST_NAME_BYTES} bytes, without control characters"),
]
QualifiedTable = Annotated[
    str,
    StringConstraints(pattern=r"^[^.\x00-\x1f\x7f-\x9f]+\.[^.\x00-\x1f\x7f-\x9f]+$"),
    AfterValidator(_short_names),
    Meaning("a table with its schema, as `schema.table`"),
]
Compression = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]|none|gzip(:[0-9])?|lz4(:([0-9]|1[0-2]))?|zstd(:([0-9]|1[0-9]|2[0-2]))?)$"),
    Meaning("0 to 9, `none`, `gzip`, `lz4` or `zstd`, the last three with a level after a colon if need be"),
    # `compress: 9` needs no quotes in the file, so editors must not ask for them.
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^([0-9]|none|gzip(:[0-9])?|lz4(:([0-9]|1[0-2]))?|zstd(:([0-9]|1[0-9]|2[0-2]))?)$",
            "minimum": 0,
            "maximum": 9,
        }
    ),
]
ServiceName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    Meaning("a service's name: letters, digits, `.`, `_` and `-`, a letter or digit first"),
]
ProjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$"),
    Meaning("a compose project's name: small letters, digits, `_` and `-`, a letter or digit first"),
]
Profile = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*|\*)$"),
    Meaning("a compose profile's name, or `*` for all"),
]
FilePrefix = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_PREFIX),
    Meaning("the start of a file name: letters, digits, `.`, `_` and `-`, a letter or digit first"),
]
Topic = Annotated[
    str,
    StringConstraints(pattern=rf"^{_NO_CONTROL}*[^\x00-\x20\x7f-\x9f]{_NO_CONTROL}*$"),
    Meaning("a topic: one line, not blank"),
]
UrlPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[!-~]*$"),
    Meaning("a URL's path: `/` first, then ASCII without spaces, the rest percent-encoded"),
]
HttpUrl = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[!-~]+$"),
    AfterValidator(_url),
    Meaning("an http:// or https:// URL, in ASCII without spaces"),
]
CommandLine = Annotated[
    str,
    StringConstraints(pattern=rf"^{_NO_CONTROL}+$"),
    AfterValidator(_command_line),
    Meaning("a command line without control characters"),
]
Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$"), Meaning("text without NUL")]
Command = Annotated[tuple[Argument, ...], Field(min_length=1), AfterValidator(_program)]
VariableName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Meaning("a variable's name: letters, digits and `_`, no digit first"),
]
