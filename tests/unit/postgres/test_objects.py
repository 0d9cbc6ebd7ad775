"""A schema-only dump, split into its objects: nothing is lost, noise is no part of it, secrets are not in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.fingerprint import SchemaObject
from cn_ops.postgres.objects import PREAMBLE, split_schema

HEAD = """--
-- PostgreSQL database dump
--

\\restrict {token}

-- Dumped from database version {version}
-- Dumped by pg_dump version {version}

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

"""
TAIL = """--
-- PostgreSQL database dump complete
--

\\unrestrict x

"""


def block(text: str, kind: str = "TABLE", name: str = "t", schema: str = "s", owner: str = "cn") -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: {owner}\n--\n\n{text}\n\n\n"


def dump(*blocks: str, token: str = "abc", version: str = "17.6") -> str:
    return HEAD.format(token=token, version=version) + "".join(blocks) + TAIL


def objects(*blocks: str) -> dict[str, SchemaObject]:
    return {one.title: one for one in split_schema(dump(*blocks)) if one.type != PREAMBLE}


def test_every_block_is_an_object_with_its_name_owner_and_statements() -> None:
    found = split_schema(dump(block("CREATE TABLE s.t ();"), block("CREATE SCHEMA s;", "SCHEMA", "s", "-", "")))
    assert found[1:] == (
        SchemaObject("SCHEMA", "", "s", "", "CREATE SCHEMA s;"),
        SchemaObject("TABLE", "s", "t", "cn", "CREATE TABLE s.t ();"),
    )
    assert [one.title for one in found[1:]] == ["SCHEMA s", "TABLE s.t"]


def test_what_comes_before_the_first_object_is_kept_too() -> None:
    preamble = split_schema(dump())[0]
    assert preamble.type == PREAMBLE
    assert "SET statement_timeout = 0;" in preamble.text


def test_tokens_and_versions_are_noise() -> None:
    one = split_schema(dump(block("CREATE TABLE s.t ();"), token="one", version="17.6"))
    other = split_schema(dump(block("CREATE TABLE s.t ();"), token="other", version="17.9 (Debian 17.9-1)"))
    assert one == other


def test_another_setting_in_the_preamble_is_no_noise() -> None:
    text = dump()
    assert split_schema(text) != split_schema(text.replace("statement_timeout = 0", "statement_timeout = 1"))


@given(st.permutations(["a", "b", "c", "d"]))
def test_order_of_the_objects_does_not_matter(names: list[str]) -> None:
    blocks = [block(f"CREATE TABLE s.{name} ();", name=name) for name in names]
    assert split_schema(dump(*blocks)) == split_schema(dump(*sorted(blocks)))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(str.strip), max_size=5))
def test_no_statement_is_lost(statements: list[str]) -> None:
    """Each statement begins with a word of SQL, as pg_dump's do: none looks like a header or a comment of its own."""
    texts = [f"CREATE {text}." for text in statements]
    found = split_schema(dump(*(block(text, name=f"n{number}") for number, text in enumerate(texts))))
    assert sorted(one.text for one in found[1:]) == sorted(texts)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("s.t", "cn"),
        ('s."a b"', '"some body"'),
        ('s."a""; OWNER TO x;"', '"x;y"'),
        ('s."a\n--\nb"', '"line\nbreak"'),
        ("s.f(integer, text)", "cn"),
    ],
)
def test_owner_is_taken_off_the_end_whatever_the_names_hold(name: str, owner: str) -> None:
    text = f"CREATE TABLE {name} ();\n\n\nALTER TABLE {name} OWNER TO {owner};"
    assert objects(block(text))["TABLE s.t"].text == f"CREATE TABLE {name} ();"


def test_owner_is_taken_off_the_end_only() -> None:
    text = "CREATE FUNCTION s.f() AS $$\nALTER TABLE x OWNER TO y;\n$$;\nALTER TABLE z OWNER TO y;\n\nSELECT 1;"
    assert objects(block(text, "FUNCTION", "f()"))["FUNCTION s.f()"].text == text


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT ON TABLE s.t IS 'x\nALTER TABLE s.t OWNER TO {}';",
        "CREATE TRIGGER g BEFORE INSERT ON s.t EXECUTE FUNCTION f('\nALTER TABLE s.t OWNER TO {}');",
        "CREATE FUNCTION s.f() AS $$\nALTER TABLE s.t OWNER TO {}$$;",
        "COMMENT ON TABLE s.t IS 'x\nSET default_tablespace = {}';",
        "CREATE FUNCTION s.f() AS $$\nSET default_tablespace = {}$$;",
    ],
)
def test_text_that_ends_like_a_statement_of_pg_dump_s_own_is_kept(text: str) -> None:
    found = [objects(block(text.format(name)))["TABLE s.t"].text for name in ("alice", "mallory")]
    assert found == [text.format(name) for name in ("alice", "mallory")]


def test_defaults_set_between_objects_belong_to_those_that_follow() -> None:
    """pg_dump says them once, where they change, so the object that they stand behind is not the one they are for."""
    found = objects(
        block("CREATE TABLE s.a ();\n\n\nSET default_tablespace = fast;", name="a"),
        block(
            "CREATE TABLE s.b ();\n\n\nSET default_tablespace = '';\n\nSET default_table_access_method = own;",
            name="b",
        ),
        block("CREATE TABLE s.c ();\n\n\nSET default_table_access_method = heap;", name="c"),
        block("CREATE TABLE s.d ();", name="d"),
    )
    assert found["TABLE s.a"].text == "CREATE TABLE s.a ();"
    assert "fast" in found["TABLE s.b"].text
    assert "heap" in found["TABLE s.b"].text
    assert "own" in found["TABLE s.c"].text
    assert "fast" not in found["TABLE s.c"].text
    assert found["TABLE s.d"].text == "CREATE TABLE s.d ();"


def test_same_place_reads_the_same_wherever_it_was_said() -> None:
    early = objects(
        block("CREATE TABLE s.a ();\n\nSET default_tablespace = fast;", name="a"),
        block("CREATE FUNCTION s.f();", "FUNCTION", "f"),
        block("CREATE TABLE s.b ();", name="b"),
    )
    late = objects(
        block("CREATE TABLE s.a ();", name="a"),
        block("CREATE FUNCTION s.f();\n\nSET default_tablespace = fast;", "FUNCTION", "f"),
        block("CREATE TABLE s.b ();", name="b"),
    )
    assert early == late


def test_body_that_looks_like_a_header_loses_nothing() -> None:
    body = block("DROP TABLE s.t;", name="intruder")
    text = f"CREATE FUNCTION s.f() AS $$\n{body}$$;"
    found = split_schema(dump(block(text, "FUNCTION", "f")))
    assert re.sub(r"\s", "", "".join(one.text for one in found)).count("DROPTABLEs.t;$$;") == 1
    changed = split_schema(dump(block(text.replace("DROP TABLE", "DROP  TABLE"), "FUNCTION", "f")))
    assert changed != found


SECRETS = {
    "USER MAPPING": "CREATE USER MAPPING FOR x SERVER s OPTIONS (\n    password '{}',\n    \"user\" 'x'\n);",
    "SUBSCRIPTION": "CREATE SUBSCRIPTION s CONNECTION 'host=x password={}' PUBLICATION p;",
    "SERVER": "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (\n    password '{}'\n);",
    "FOREIGN TABLE": "CREATE FOREIGN TABLE s.t () SERVER s OPTIONS (\n    password '{}'\n);",
    "FUNCTION": "CREATE FUNCTION s.f() AS $$SELECT dblink('postgresql://x:{}@host/db')$$;",
    "VIEW": "CREATE VIEW s.v AS SELECT dblink('dbname=x password={}'::text);",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_password_is_masked_and_its_change_is_noticed(kind: str) -> None:
    (one,) = objects(block(SECRETS[kind].format("hunter22"), kind)).values()
    (other,) = objects(block(SECRETS[kind].format("hunter23"), kind)).values()
    assert "hunter22" not in one.text
    assert one != other
    assert one == next(iter(objects(block(SECRETS[kind].format("hunter22"), kind)).values()))


def test_secret_that_this_process_knows_does_not_change_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who compares may know another password than the one who made the backup."""
    text = dump(block("CREATE TABLE s.community ();"), block("CREATE SERVER community;", "SERVER"))
    before = split_schema(text)
    monkeypatch.setattr("cn_ops.masking._known", {"community"})
    assert split_schema(text) == before
