"""Filling a database from a dump."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path

from psycopg.errors import DuplicateObject, InsufficientPrivilege

from cn_ops.errors import OperationFailed
from cn_ops.fingerprint import Fingerprint
from cn_ops.jobs import default_jobs
from cn_ops.postgres.archive import contents, is_directory, sought
from cn_ops.postgres.extensions import make_older
from cn_ops.postgres.load_in_parts import entries, large_tables, load_table
from cn_ops.postgres.objects import FRESH_EXTENSION, NO_PUBLIC_SCHEMA
from cn_ops.postgres.session import dbname, server_settings, session
from cn_ops.process import ProcessFailed
from cn_ops.stack import Server

# No --clean: the target is empty, and `ALTER DOMAIN … DROP CONSTRAINT IF EXISTS` fails where there is no domain.
RESTORE_FLAGS = ("--exit-on-error", "--no-password")
# Of the restoring sessions alone: nothing of the server is changed. Who swaps a database in commits as usual, and
# with that everything before it is on disk.
SESSION_SETTINGS = {
    "maintenance_work_mem": "256MB",
    "synchronous_commit": "off",
    "array_nulls": "on",  # the database's own setting would take NULL in an array for a word
}
# By measurement: below, more sessions cost more than they bring.
SMALL_DUMP_BYTES = 4 << 20
# `psql:<stdin>:8: ERROR:  42710: role "x" already exists`
_WITH_SQLSTATE = re.compile(r"(?:psql:\S+:\d+: )?[^\s:]+ ?:\s+([0-9A-Z]{5}): ")
_GRANTOR = re.compile(rb"""^(GRANT .*?) GRANTED BY (?:"(?:[^"]|"")*"|[\w$]+);$""", re.MULTILINE)
_LOCATION = re.compile(rb"""^(CREATE TABLESPACE .*? LOCATION )E?'(?:[^']|'')*';$""", re.MULTILINE)
# The classes of notices and warnings.
NO_ERROR = ("00", "01")


def load(
    server: Server,
    database: str,
    dump: Path,
    *,
    owners: bool,
    privileges: bool,
    jobs: int | None = None,
    fingerprint: Fingerprint | None = None,
) -> None:
    """Restore a dump into an empty database, on so many sessions (None: as many as pay).

    The dump's fingerprint, where there is one, tells of tables that are large enough to be loaded in parts, and of
    what a fresh database has and the dumped one had not. Raises ``ProcessFailed`` at the first error.
    """
    if fingerprint:
        _prepare(server, database, fingerprint)
    jobs = jobs or (1 if dump.stat().st_size < SMALL_DUMP_BYTES else default_jobs())
    settings = {**server_settings(server, database), **SESSION_SETTINGS}
    target = dbname(database, {**settings, "max_parallel_maintenance_workers": str(jobs)})
    flags = _flags(owners, privileges)
    argv = ["pg_restore", *flags, f"--dbname={target}"]
    if jobs == 1 and not is_directory(dump):
        with dump.open("rb") as stream:
            server.tool(argv, stdin=stream)
        return
    tables = large_tables(fingerprint, jobs) if fingerprint else ()
    large, rest = entries(server, dump, tables) if tables else ([], [])
    with sought(server, dump) as path:
        in_parallel = [*argv, f"--jobs={jobs}"]
        if not large:
            server.tool([*in_parallel, path])
            return
        server.tool([*argv, "--section=pre-data", path])
        with tempfile.TemporaryFile() as listed:
            listed.write("\n".join(rest).encode())
            listed.seek(0)
            # Meanwhile, on fewer sessions: those that load a large table wait for its reader every now and then.
            with_rest = [*argv, f"--jobs={max(1, jobs // 2)}", "--section=data", "--use-list=/dev/stdin", path]
            with server.tool_started(with_rest, stdin=listed) as running:
                for entry in large:
                    if not running.alive():
                        running.wait()  # raises what it failed with, before the next large one
                    load_table(server, target, entry, ["pg_restore", *flags, "--data-only"], path, jobs)
                running.wait()
        server.tool([*in_parallel, "--section=post-data", path])


def _prepare(server: Server, database: str, fingerprint: Fingerprint) -> None:
    """Set right in a fresh database what the dump cannot: what is in it already, and the versions of extensions.

    What may not be dropped or made, the comparison will name.
    """
    surplus = _surplus(fingerprint)
    others = [one for one in fingerprint.extensions if one.name != FRESH_EXTENSION]
    if not surplus and not others:
        return
    with session(server, database) as connection:
        for statement in surplus:
            with suppress(InsufficientPrivilege):
                connection.execute(statement.encode())
        make_older(connection, others)


def _surplus(fingerprint: Fingerprint) -> list[str]:
    """Return the statements that drop what a fresh database has, and the dumped one had not or had made itself."""
    surplus = []
    if NO_PUBLIC_SCHEMA in fingerprint.objects:
        surplus.append("DROP SCHEMA IF EXISTS public")
    is_there = any(one.name == FRESH_EXTENSION for one in fingerprint.extensions)
    if not is_there or any((one.type, one.name) == ("EXTENSION", FRESH_EXTENSION) for one in fingerprint.objects):
        surplus.append(f"DROP EXTENSION IF EXISTS {FRESH_EXTENSION}")
    return surplus


def load_schema(
    server: Server, database: str, dump: Path, fingerprint: Fingerprint, *, owners: bool, privileges: bool
) -> None:
    """Restore a dump's schema, without rows, into an empty database."""
    _prepare(server, database, fingerprint)
    with contents(server, dump) as (arguments, stream):
        argv = [
            "pg_restore",
            *_flags(owners, privileges),
            "--schema-only",
            f"--dbname={dbname(database)}",
            *arguments,
        ]
        server.tool(argv, stdin=stream)


def _flags(owners: bool, privileges: bool) -> tuple[str, ...]:
    return (*RESTORE_FLAGS, *([] if owners else ["--no-owner"]), *([] if privileges else ["--no-acl"]))


def run_sql(server: Server, database: str, script: Path) -> None:
    """Run an SQL file in one transaction; raises ``OperationFailed``, naming it, at its first error."""
    with script.open("rb") as stream:
        flags = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--no-password"]
        target = dbname(database, server_settings(server, database))
        try:
            server.tool(["psql", *flags, f"--dbname={target}"], stdin=stream)
        except ProcessFailed as error:
            raise OperationFailed(
                f"the SQL file {script} fails in the restored database",
                hint="mend it, or take it out of restore.after; then run it again",
                evidence=error.evidence,
            ) from error


def run_globals(server: Server, script: Path, *, in_scratch: bool = False) -> None:
    """Run a dump of globals; a role that is there already is no error. Raises ``OperationFailed`` for any other.

    In a scratch server nobody is who granted a role, and no folder of a tablespace is there: it grants them itself,
    and makes the tablespaces in place.
    """
    text = script.read_bytes()
    with tempfile.TemporaryFile() as stream:
        stream.write(_for_scratch(text) if in_scratch else text)
        stream.seek(0)
        argv = ["psql", "--no-psqlrc", "--quiet", "--set=VERBOSITY=verbose", "--no-password", "--dbname=postgres"]
        said = server.tool(argv, stdin=stream).stderr.splitlines()
    # In any language: how severe it is says the SQLSTATE.
    errors = [(line, found[1]) for line in said if (found := _WITH_SQLSTATE.match(line))]
    problems = [line for line, state in errors if state[:2] not in NO_ERROR and state != DuplicateObject.sqlstate]
    if problems:
        raise OperationFailed(f"{script.name} cannot be restored", evidence="\n".join(problems))


def _for_scratch(text: bytes) -> bytes:
    text = _GRANTOR.sub(rb"\1;", text)
    text, tablespaces = _LOCATION.subn(rb"\1'';", text)
    return b"SET allow_in_place_tablespaces = on;\n" + text if tablespaces else text
