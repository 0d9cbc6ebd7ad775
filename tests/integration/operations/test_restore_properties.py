"""A restore keeps what belongs to the database itself: its name, owner, locale, settings and privileges."""

from __future__ import annotations

from typing import Any

import pytest

import cn_ops.postgres.database as db
from cn_ops.errors import UsageError
from cn_ops.model import DatabaseProperties
from cn_ops.names import Beside
from cn_ops.postgres.session import session
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node
from tests.support.operations import back_up, beside_it, bring_back, execute, tells_everything

NewSite = Any
EXOTIC_NAMES = [
    "with space",
    'it\'s "quoted"',
    "dbname=postgres host=nowhere",
    "postgresql://nobody@nowhere/nothing",
    "-dash",
    "--help",
    "帳簿 🌸",
    "UPPER",
    "back\\slash",
    "percent%s{}",
]
DAMAGE = "DROP SCHEMA cn_relay CASCADE; CREATE TABLE public.stranger (n int); INSERT INTO public.stranger VALUES (1)"


def properties(site: Node) -> DatabaseProperties:
    with session(site.stack, "postgres") as connection:
        return db.properties(connection, site.database)


@pytest.mark.parametrize("name", EXOTIC_NAMES)
def test_database_of_any_name_comes_back(name: str, new_site: NewSite) -> None:
    site = new_site(name)
    before = site.content()
    back_up(site)
    site.rows(DAMAGE)
    bring_back(site)
    assert site.content() == before


def test_owner_limit_comment_settings_and_privileges_are_kept(either_way: Node, server: EmbeddedStack) -> None:
    site = either_way
    role, reader = f"{site.database}_owner", f"{site.database} reader's"
    execute(server, "CREATE ROLE {} SUPERUSER; CREATE ROLE {}", role, reader)
    try:
        for statement in (
            "ALTER DATABASE {} OWNER TO {}",
            "ALTER DATABASE {} CONNECTION LIMIT 33",
            "COMMENT ON DATABASE {} IS 'a \"comment\" with ''quotes'' and 日本語'",
            "REVOKE ALL ON DATABASE {} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {} TO {} WITH GRANT OPTION",
            'ALTER DATABASE {} SET search_path TO "$user", cn_relay, "odd, name", "say ""hi"""',
            "ALTER DATABASE {} SET work_mem TO '64MB'",
            "ALTER DATABASE {} SET app.motto TO 'it''s = \"here\", 100%%'",
            "ALTER DATABASE {} SET temp_tablespaces TO ''",
        ):
            names = [site.database, role if "OWNER" in statement else reader]
            execute(server, statement, *names[: statement.count("{}")])
        execute(server, "ALTER ROLE {} IN DATABASE {} SET statement_timeout TO '5min'", reader, site.database)
        before, path = properties(site), site.rows("SHOW search_path")
        back_up(site)
        bring_back(site)
        assert properties(site) == before
        assert site.rows("SHOW search_path") == path
        assert before.owner == role
        assert {name for name, _ in before.settings} == {"", reader}
        assert before.comment
        assert before.privileges
    finally:
        for name in (site.database, *beside_it(site, Beside.PREVIOUS)):
            execute(server, "DROP DATABASE {} WITH (FORCE)", name)
        execute(server, "DROP ROLE {}; DROP ROLE {}", role, reader)


@pytest.mark.parametrize(
    "options",
    [
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
        "LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'SQL_ASCII'",
        "LOCALE_PROVIDER libc LOCALE 'C' ENCODING 'LATIN1'",
    ],
)
def test_encoding_and_locale_are_kept(options: str, new_site: NewSite, server: EmbeddedStack) -> None:
    site = new_site()
    execute(server, "DROP DATABASE {}", site.database)
    execute(server, f"CREATE DATABASE {{}} TEMPLATE template0 {options}", site.database)
    site.rows(
        "CREATE SCHEMA cn_relay; CREATE TABLE cn_relay.events (t text); INSERT INTO cn_relay.events VALUES ('a')"
    )
    before, content = properties(site), site.content()
    back_up(site)
    bring_back(site)
    assert properties(site) == before
    assert site.content() == content


def test_missing_database_is_made_as_the_manifest_remembers_it(either_way: Node, server: EmbeddedStack) -> None:
    site = either_way
    execute(server, "ALTER DATABASE {} CONNECTION LIMIT 17", site.database)
    execute(server, "ALTER DATABASE {} SET search_path TO cn_relay, public", site.database)
    before, content = properties(site), site.content()
    back_up(site)
    execute(server, "DROP DATABASE {}", site.database)
    bring_back(site)
    assert properties(site) == before
    assert site.content() == content


def test_missing_database_whose_owner_is_missing_too_names_the_role_and_the_globals(
    site: Node, server: EmbeddedStack
) -> None:
    role = f"{site.database}_owner"
    execute(server, "CREATE ROLE {}", role)
    execute(server, "ALTER DATABASE {} OWNER TO {}", site.database, role)
    made = back_up(site)
    execute(server, "DROP DATABASE {}", site.database)
    execute(server, "DROP ROLE {}", role)
    with pytest.raises(UsageError, match=role) as failed:
        bring_back(site)
    assert str(made.manifest.globals_file) in failed.value.hint
    assert tells_everything(failed.value)
    assert site.journal is None


def test_missing_database_and_no_manifest_gives_an_ordinary_database(site: Node, server: EmbeddedStack) -> None:
    before = site.content()
    by_hand = site.folder / "by hand.dump"
    by_hand.write_bytes(back_up(site).dump.read_bytes())
    execute(server, "DROP DATABASE {}", site.database)
    bring_back(site, by_hand)
    assert site.content() == before
    assert properties(site).owner == "cn"
