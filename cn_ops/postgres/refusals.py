"""What a refused connection means, in whichever language the server says it."""

from __future__ import annotations

import os
import re
import select
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq

from cn_ops.errors import MissingError, OpsError, TimedOut, UsageError

CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Refusal:
    """A refusal, known by libpq's text or by the server's SQLSTATE, as an error for people."""

    pattern: str
    kind: type[OpsError]
    message: str
    hint: str
    sqlstate: str | None = None


REFUSALS = (
    Refusal(
        r"password authentication failed|no password supplied|SCRAM authentication",
        UsageError,
        "the server refuses the password of role {user!r}",
        "set CN_OPS_STACK__POSTGRES__PASSWORD to the right one, or put it into stack.server.dsn or ~/.pgpass",
        "28P01",
    ),
    Refusal(
        r'role ".*" does not exist',
        UsageError,
        "the server has no role {user!r}",
        "set stack.postgres.user (or the user of stack.server.dsn) to the role that owns the database",
    ),
    Refusal(
        r'database ".*" does not exist',
        MissingError,
        "the server has no database {database!r}",
        "is its name right (--database, stack.postgres.database or that of stack.server.dsn)? "
        "`inv restore --dump=latest` brings the live one back",
        "3D000",
    ),
    Refusal(
        r"too many (clients|connections)|remaining connection slots",
        MissingError,
        "the server has no connection left",
        "end some sessions, or raise max_connections",
        "53300",
    ),
    Refusal(
        r"no pg_hba.conf entry",
        UsageError,
        "the server does not let role {user!r} into database {database!r} from here",
        "its pg_hba.conf, or the provider's list of networks, must allow it; perhaps it wants TLS: sslmode=require",
        "28000",
    ),
    Refusal(
        r"not currently accepting connections",
        UsageError,
        "the database {database!r} lets nobody in",
        "a superuser can open it: ALTER DATABASE … ALLOW_CONNECTIONS true",
        "55000",
    ),
    Refusal(
        r"permission denied for database",
        UsageError,
        "the role {user!r} may not connect to database {database!r}",
        "its owner can grant it: GRANT CONNECT ON DATABASE … TO …",
        "42501",
    ),
    Refusal(
        r"certificate|SSL error|does not support SSL",
        UsageError,
        "the connection cannot be encrypted as it is asked for",
        "check sslmode and sslrootcert of stack.server.dsn, and which certificate the server has",
    ),
    Refusal(
        r"could not translate host name|failed to resolve host|[Nn]ame or service not known",
        MissingError,
        "the server's host name is not known",
        "check the host and the name service; `inv stack.status` asks again",
    ),
    Refusal(
        r"[Cc]onnection refused",
        MissingError,
        "no server answers where database {database!r} is looked for",
        "is it running, and are host and port right? see `inv stack.status` and `inv stack.logs`",
    ),
    Refusal(
        r"timeout expired|timed out",
        TimedOut,
        f"the server did not answer within {CONNECT_SECONDS} s",
        "see `inv stack.status` and `inv stack.logs`",
    ),
)
_TRACED = re.compile(rb'ErrorResponse\t S "[^"]*" V "[A-Z]+" C "([0-9A-Z]{5})"')


class Refused(psycopg.OperationalError):
    """A connection that a server has refused, with its SQLSTATE."""

    def __init__(self, text: str, sqlstate: str) -> None:
        super().__init__(text)
        self.refused_with = sqlstate


def refusal(error: psycopg.OperationalError) -> Refusal | None:
    """Return what is known of an error, if anything is."""
    text, state = str(error), error.refused_with if isinstance(error, Refused) else None
    return next((one for one in REFUSALS if re.search(one.pattern, text) or (state and one.sqlstate == state)), None)


def told(error: psycopg.OperationalError, conninfo: str) -> psycopg.OperationalError:
    """Return an error of connecting as it is, or with the SQLSTATE where its text is in another language."""
    if refusal(error):
        return error
    state = _sqlstate(conninfo)
    return Refused(str(error), state) if state else error


def _sqlstate(conninfo: str) -> str | None:
    """Return the SQLSTATE with which a server refuses a connection, None when it does not, or that is not known.

    libpq tells it to nobody but whoever traces its messages (and since its version 17), on Linux. They may hold a
    password: they stay in memory.
    """
    if not hasattr(os, "memfd_create"):
        return None
    with os.fdopen(os.memfd_create("messages"), "rb") as messages:
        connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            connection.trace(messages.fileno())
            _until_settled(connection)
            connection.untrace()
        except psycopg.Error:
            return None
        finally:
            connection.finish()
        messages.seek(0)
        found = _TRACED.search(messages.read())
        return found[1].decode() if found else None


def _until_settled(connection: pq.abc.PGconn) -> None:
    end = time.monotonic() + CONNECT_SECONDS
    while time.monotonic() < end:
        status = connection.connect_poll()
        if status not in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
            return
        reading = [connection.socket] if status == pq.PollingStatus.READING else []
        writing = [connection.socket] if status == pq.PollingStatus.WRITING else []
        select.select(reading, writing, [], 1)
