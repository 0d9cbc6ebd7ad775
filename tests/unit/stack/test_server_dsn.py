"""A DSN is read as libpq reads it."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from cn_ops.stack.server_dsn import BadDsn, parse_dsn

NAMES = ("host", "hostaddr", "port", "user", "password", "dbname", "sslmode", "options", "service", "requiressl")
REFUSED = None


def by_libpq(text: str) -> dict[str, str] | None:
    """Return what libpq reads, or None for what it, or psycopg reading its answer, refuses."""
    try:
        return {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except (psycopg.ProgrammingError, UnicodeDecodeError):
        return REFUSED


def by_us(text: str) -> dict[str, str] | None:
    try:
        return parse_dsn(text)
    except BadDsn:
        return REFUSED


pieces = st.one_of(
    st.sampled_from(
        (*NAMES, "=", "&", "?", "/", ":", "@", ",", "[", "]", "%", "%4", "%41", "%00", "%e3%81%82", "::1")
    ),
    st.text("ab1=&?/:@,[]%é🌸'\\", max_size=4),
)
urls = st.lists(pieces, max_size=12).map(lambda found: "postgresql://" + "".join(found))
words = st.one_of(
    st.sampled_from((*NAMES, "=", "'", "\\", " ", "\t", "\n", "''", "\\'", "\\\\")), st.text("ab '\\=é", max_size=4)
)
pairs = st.lists(words, max_size=14).map("".join).filter(lambda text: bool(text.strip()))


def known(text: str) -> bool:
    """Whether every parameter in it is one of libpq's: another is refused later, with the name that was meant."""
    found = by_us(text)
    return found is REFUSED or found.keys() <= set(NAMES)


@given(urls.filter(known))
@example("postgresql://")
@example("postgres://u:p@ss@h/d")
@example("postgresql://u:p%40ss@[::1]:5433,b:,c/d?sslmode=require&options=-c%20a%3Db")
@example("postgresql://[")
@example("postgresql://[::1]x")
@example("postgresql:///d?host=/var/run&ssl=true")
@example("postgresql://h/d?user=")
@example("postgresql://h/d?requiressl=1")
@example("postgresql://h/d?a=b=c")
@example("postgresql://h/d?user=x&&port=1")
@example("postgresql://%a1")
def test_url_is_read_as_libpq_reads_it(text: str) -> None:
    assert by_us(text) == by_libpq(text)


@given(pairs.filter(known))
@example("host=a port = 5 user = 'it''s'")
@example("user='a b'host=c")
@example("password='it\\'s \\\\ all' dbname=\\ x")
@example("user='not closed")
@example("user name=x")
@example("=x")
@example("host=")
def test_pairs_are_read_as_libpq_reads_them(text: str) -> None:
    assert by_us(text) == by_libpq(text)


@given(st.dictionaries(st.sampled_from(("user", "password", "dbname")), st.text(min_size=1).filter(str.isprintable)))
def test_any_value_comes_back_from_a_url_that_escapes_it(values: dict[str, str]) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())
    assert parse_dsn(f"postgresql://h?{query}") == {"host": "h", **values}


@pytest.mark.parametrize("text", ["", "  ", "cn", "db.example.com/cn"])
def test_what_is_no_dsn_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(BadDsn, match="postgresql://user@host/database"):
        parse_dsn(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://me:50%zz@h/d", "%25"),
        ("postgresql://me:two words@h/d", "%20"),
        ("postgresql://[::1/d", "brackets"),
        ("host=h password='hunter2", "quote"),
        ("postgresql://me:hunter2@h/d?a&b", "name=value"),
    ],
)
def test_refusal_says_what_to_write_and_nothing_of_the_secret(text: str, message: str) -> None:
    with pytest.raises(BadDsn, match=message) as refused:
        parse_dsn(text)
    assert "hunter2" not in str(refused.value)
