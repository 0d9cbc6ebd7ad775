"""Sessions with a stack's server, and what their errors mean."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cn_ops.errors import MissingError, OperationFailed
from cn_ops.postgres.refusals import CONNECT_SECONDS, refusal, told
from cn_ops.stack import Server
from cn_ops.stack.base import session_name

MAINTENANCE_DATABASE = "postgres"
MAINTENANCE_DATABASES = (MAINTENANCE_DATABASE, "template1")
LOGIN_TRIGGERS_SINCE = 170_000
# With which version each came: an older server would refuse the session.
TIMEOUTS = {"idle_session_timeout": 140_000, "transaction_timeout": 170_000}
# A row's text depends on these, and a held snapshot must not be ended for being idle.
PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "default_transaction_read_only": "off",
    "row_security": "off",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
}

NO_SETTINGS: Mapping[str, str] = types.MappingProxyType({})


@contextmanager
def session(server: Server, database: str) -> Iterator[psycopg.Connection]:
    """Open a session in autocommit mode, with everything pinned that the text of a row depends on.

    Every ``psycopg.Error`` inside the block leaves it as an ``OpsError``.
    """
    parameters = server.conninfo(database)
    with (
        explained(parameters["user"], database),
        connected(parameters, server_settings(server, database)) as connection,
    ):
        yield connection


def connected(parameters: Mapping[str, str], settings: Mapping[str, str]) -> psycopg.Connection:
    """Connect in autocommit mode, with the settings that every session of ours has, and these."""
    own = parameters.get("options", "")
    # An empty address keeps PGHOSTADDR out: it would lead to another server than the stack's.
    conninfo = make_conninfo(
        **{
            "hostaddr": "",
            "connect_timeout": str(CONNECT_SECONDS),
            **parameters,
            "application_name": session_name(),
            "options": f"{own} {_options({**PINNED, **settings})}".strip(),
        }
    )
    try:
        return _pinned(psycopg.connect(conninfo, autocommit=True), {**PINNED, **settings})
    except psycopg.OperationalError as error:
        raise told(error, conninfo) from error


def _pinned(connection: psycopg.Connection, settings: Mapping[str, str]) -> psycopg.Connection:
    """Set once more what `options` have said: PGTZ and PGDATESTYLE of the environment win over those."""
    try:
        connection.execute(
            "SELECT pg_catalog.set_config(name, value, false)"
            " FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS s (name, value)",
            (list(settings), list(settings.values())),
        )
    except BaseException:
        connection.close()
        raise
    return connection


def server_settings(server: Server, database: str) -> dict[str, str]:
    """Return what a session of a database is to set, and not every server or role would let it.

    No timeout of the database's own ends it. Of a superuser, errors come in English, for a tool shows no SQLSTATE,
    and no event trigger is fired, not even at login: it may write rows.
    """
    if database in MAINTENANCE_DATABASES:
        return {}
    parameters = server.conninfo(maintenance_database(database))
    # Whoever cannot be asked is asked again by the session proper, whose error says what is wrong.
    with suppress(psycopg.Error):
        return dict(_allowed(tuple(sorted(parameters.items()))))
    return {}


@cache
def _allowed(parameters: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    with connected(dict(parameters), {}) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        is_superuser, version = bool(row and row[0]), connection.info.server_version
        return {
            **{name: "0" for name, since in TIMEOUTS.items() if version >= since},
            # The database's own setting could make it a lesser role.
            **({"lc_messages": "C", "role": "none"} if is_superuser else {}),
            **({"event_triggers": "off"} if is_superuser and version >= LOGIN_TRIGGERS_SINCE else {}),
        }


@contextmanager
def sibling(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Open another session with the same server and database, as the same role, pinned alike."""
    known = connection.info.get_parameters()
    password = {"password": connection.info.password} if connection.info.password else {}
    conninfo = make_conninfo(**{"hostaddr": "", **known, **password})
    with (
        explained(known["user"], known["dbname"]),
        _pinned(psycopg.connect(conninfo, autocommit=True), PINNED) as another,
    ):
        yield another


def maintenance_database(database: str) -> str:
    """Return a database to connect to while ``database`` itself is made or dropped."""
    return "template1" if database == MAINTENANCE_DATABASE else MAINTENANCE_DATABASE


@contextmanager
def explained(user: str, database: str) -> Iterator[None]:
    """Turn what PostgreSQL says into an error for people."""
    try:
        yield
    except psycopg.Error as error:
        text = str(error).strip()
        if isinstance(error, psycopg.OperationalError) and (known := refusal(error)):
            raise known.kind(
                known.message.format(user=user, database=database), hint=known.hint, evidence=text
            ) from error
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
            raise MissingError(
                f"the connection to database {database!r} failed or was lost",
                hint="see `inv stack.status` and `inv stack.logs`",
                evidence=text,
            ) from error
        raise OperationFailed(
            f"database {database!r}: {text.splitlines()[0] if text else type(error).__name__}",
            hint="see `inv stack.logs`; mend the cause, then run it again",
            evidence=text,
        ) from error


def qualified(name: str) -> sql.Identifier:
    """Return ``schema.table`` as a quoted identifier."""
    return sql.Identifier(*name.split(".", 1))


def dbname(database: str, settings: Mapping[str, str] = NO_SETTINGS) -> str:
    """Return a ``--dbname`` that names this database whatever its name holds, with settings of its sessions.

    The tools read a name with ``=`` in it, or one that begins like a URL, as a connection string. A database that
    is read-only by default is restored as well.
    """
    return make_conninfo(dbname=database, options=_options({"default_transaction_read_only": "off", **settings}))


def _options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
