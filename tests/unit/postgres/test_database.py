"""Lists of names, versions and names of databases, as PostgreSQL writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from cn_ops.errors import OperationFailed
from cn_ops.postgres.alter import creation, split_names
from cn_ops.postgres.database import major
from cn_ops.postgres.session import dbname, maintenance_database, qualified
from tests.support.generations import properties

NAME = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=30)


def stored(names: list[str]) -> str:
    """Write a list as the server stores it: every name quoted that is not plain."""
    quoted = [one if one.isidentifier() and one.islower() else '"' + one.replace('"', '""') + '"' for one in names]
    return ", ".join(quoted)


@given(st.lists(NAME, max_size=6))
def test_stored_list_is_split_into_its_names(names: list[str]) -> None:
    assert split_names(stored(names)) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ('""', []),  # an empty list: no name is empty
        ('"$user", public', ["$user", "public"]),
        ("a,b ,  c", ["a", "b", "c"]),
        ('"a, b", "say ""hi"""', ["a, b", 'say "hi"']),
        ('"with space"', ["with space"]),
    ],
)
def test_lists_as_servers_store_them(text: str, names: list[str]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize(
    ("text", "number"), [("17.6", 17), ("18beta1", 18), ("9.6.24", 9), (" 18.0 (Debian 18.0-1)", 18), ("100", 100)]
)
def test_major_version_is_the_first_number(text: str, number: int) -> None:
    assert major(text) == number


@pytest.mark.parametrize("text", ["", "beta", "v17"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(OperationFailed, match="not a PostgreSQL version"):
        major(text)


@given(NAME)
def test_dbname_names_the_database_whatever_is_in_its_name(name: str) -> None:
    assert conninfo_to_dict(dbname(name))["dbname"] == name
    assert "=" in dbname(name)  # so that the tools read it as a connection string, and no name as an option


def test_maintenance_happens_beside_the_database() -> None:
    assert maintenance_database("postgres") == "template1"
    assert maintenance_database("cn") == "postgres"


def test_qualified_names_are_quoted() -> None:
    assert qualified('cn_relay.we"ird').as_string() == '"cn_relay"."we""ird"'
    assert qualified("public.a.b").as_string() == '"public"."a.b"'


def test_database_is_made_with_its_own_provider_of_locales() -> None:
    icu = properties(locale_provider="icu", collate="C", ctype="C", locale="ja-JP", icu_rules="&a < b")
    text = creation('we"ird', icu, 17).as_string()
    assert text.startswith('CREATE DATABASE "we""ird" TEMPLATE = template0 OWNER = "cn"')
    assert text.endswith("LOCALE_PROVIDER = 'icu' ICU_LOCALE = 'ja-JP' ICU_RULES = '&a < b'")
    builtin = properties(locale_provider="builtin", locale="C.UTF-8")
    assert creation("cn", builtin, 17).as_string().endswith("LOCALE_PROVIDER = 'builtin' BUILTIN_LOCALE = 'C.UTF-8'")


def test_libc_is_named_where_the_server_knows_other_providers() -> None:
    """Without it a database would take over the provider of template0."""
    assert "LOCALE_PROVIDER = 'libc'" in creation("cn", properties(), 15).as_string()
    assert "LOCALE_PROVIDER" not in creation("cn", properties(), 14).as_string()
