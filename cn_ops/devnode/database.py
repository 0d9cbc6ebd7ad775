"""Connections of the node's commands, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cn_ops.errors import MissingError, OperationFailed, OpsError, UsageError
from cn_ops.masking import mask, remember

CONNECT_SECONDS = 10
APPLICATION_NAME = "cn-devnode"


@contextmanager
def transaction(url: str) -> Iterator[psycopg.Connection]:
    """Open a connection whose work is committed at the end, or not at all.

    Raises ``MissingError`` when there is no database, ``OperationFailed`` when it refuses a statement.
    """
    check_url(url)
    try:
        with psycopg.connect(
            url, connect_timeout=CONNECT_SECONDS, fallback_application_name=APPLICATION_NAME
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise explained(url, error) from error


def check_url(url: str) -> None:
    """Raise ``UsageError`` when libpq cannot read the URL, and keep its password out of every message."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {"port": "unreadable"}
    # libpq's own message is not shown: what it took for a host or a port may be half of the password.
    if not all(port.isdigit() for port in str(parts.get("port") or 5432).split(",")):
        raise UsageError(
            "DATABASE_URL cannot be read as a PostgreSQL URL",
            hint="special characters in names and passwords must be percent-encoded",
        )
    remember(str(parts.get("password") or ""))


def explained(url: str, error: psycopg.Error) -> OpsError:
    """Say in one line what a database error means for the reader of it."""
    if isinstance(error, psycopg.OperationalError):
        return MissingError(f"the database {_place(url)} cannot be used: {one_line(error)}")
    if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
        return OperationFailed(
            f"the database {_place(url)} lacks the node's tables: {one_line(error)}", hint="run `cn migrate`"
        )
    return OperationFailed(f"the database {_place(url)} refused: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, without secrets."""
    return mask(" ".join(str(error).split())) or type(error).__name__


def _place(url: str) -> str:
    parts = conninfo_to_dict(url)
    name = parts.get("dbname") or parts.get("user") or "(default)"
    return f"{name} at {parts.get('host') or parts.get('hostaddr') or 'localhost'}"
