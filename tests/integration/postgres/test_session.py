"""What a server's refusals mean to the person who reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cn_ops.errors import MissingError, OperationFailed, OpsError, UsageError
from cn_ops.postgres.session import session
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import rows

SECRET = "hunter22-and-more"


@dataclass(frozen=True)
class Reaching:
    """A stack that is reached with other parameters, as a compose stack is reached with a password."""

    stack: EmbeddedStack
    changes: dict[str, str]

    def conninfo(self, database: str) -> dict[str, str]:
        return {**self.stack.conninfo(database), **self.changes}


@pytest.fixture
def guarded(server: EmbeddedStack, database_url: str) -> Iterator[str]:
    """A database that asks for a password, and a role that has one."""
    database = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])
    rules = Path(str(rows(server, "SHOW hba_file", "postgres")[0][0]))
    before = rules.read_text()
    rows(server, f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'", "postgres")
    try:
        rules.write_text(f"local {database} all scram-sha-256\n{before}")
        rows(server, "SELECT pg_reload_conf()", "postgres")
        yield database
    finally:
        rules.write_text(before)
        rows(server, "SELECT pg_reload_conf()", "postgres")
        rows(server, "DROP ROLE guarded", "postgres")


def refused(stack: EmbeddedStack, database: str, kind: type[OpsError], **changes: str) -> OpsError:
    reaching: EmbeddedStack = Reaching(stack, changes)  # type: ignore[assignment] # conninfo is all that a session asks
    with pytest.raises(kind) as failed, session(reaching, database):
        pass
    assert failed.value.hint
    assert SECRET not in str(vars(failed.value))
    return failed.value


def test_wrong_password_names_the_role_and_the_variable_to_set(server: EmbeddedStack, guarded: str) -> None:
    error = refused(server, guarded, UsageError, user="guarded", password=f"not {SECRET}")
    assert "'guarded'" in error.message
    assert "CN_OPS_STACK__POSTGRES__PASSWORD" in error.hint


def test_missing_password_is_the_same_refusal(server: EmbeddedStack, guarded: str) -> None:
    assert "'guarded'" in refused(server, guarded, UsageError, user="guarded").message


def test_right_password_opens_the_session(server: EmbeddedStack, guarded: str) -> None:
    reaching: EmbeddedStack = Reaching(server, {"user": "guarded", "password": SECRET})  # type: ignore[assignment] # as above
    with session(reaching, guarded) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_missing_role_is_named(server: EmbeddedStack) -> None:
    error = refused(server, "postgres", UsageError, user="nobody here")
    assert "'nobody here'" in error.message
    assert "stack.postgres.user" in error.hint


def test_missing_database_is_named(server: EmbeddedStack) -> None:
    error = refused(server, "no such 'database'", MissingError)
    assert "no such 'database'" in error.message


def test_server_that_is_not_there_is_missing(server: EmbeddedStack, tmp_path: Path) -> None:
    error = refused(server, "postgres", MissingError, host=str(tmp_path))
    assert "inv stack.status" in error.hint


def test_error_of_a_statement_keeps_the_servers_words(server: EmbeddedStack) -> None:
    def ask() -> None:
        with session(server, "postgres") as connection:
            connection.execute("SELECT * FROM nothing")

    with pytest.raises(OperationFailed, match='relation "nothing" does not exist'):
        ask()


def test_everything_that_the_text_of_a_row_depends_on_is_pinned(server: EmbeddedStack, database_url: str) -> None:
    database = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])
    rows(server, f"ALTER DATABASE {database} SET \"TimeZone\" TO 'Asia/Tokyo'", "postgres")
    rows(server, f"ALTER DATABASE {database} SET \"DateStyle\" TO 'German'", "postgres")
    rows(server, f"ALTER DATABASE {database} SET statement_timeout TO '1ms'", "postgres")
    with session(server, database) as connection:
        row = connection.execute("SELECT timestamptz '2026-11-24 03:00+00'::text, pg_sleep(0.02)::text").fetchone()
    assert row == ("2026-11-24 03:00:00+00", "")
