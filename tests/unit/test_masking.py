"""No secret is in what people read."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops import masking
from cn_ops.masking import MASK, MaskingFormatter, mask, remember

# Starts and ends with what is in no message around it, so that finding either means a leak.
BODY = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=12)
SECRETS = BODY.map(lambda body: f"Qz7{body}7zQ")


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())


def assert_hidden(text: str) -> None:
    assert MASK in text
    assert "Qz7" not in text
    assert "7zQ" not in text


@given(SECRETS)
def test_password_of_a_database_url_is_hidden_also_when_it_is_not_encoded(secret: str) -> None:
    text = mask(f"cannot reach postgresql://cn:{secret}@127.0.0.1:5432/cn, giving up")
    assert_hidden(text)
    assert text.startswith("cannot reach postgresql://cn:")
    assert text.endswith("@127.0.0.1:5432/cn, giving up")


@given(SECRETS.filter(lambda secret: "/" not in secret))
def test_password_of_any_url_is_hidden(secret: str) -> None:
    assert_hidden(mask(f"see https://user:{secret}@example.org/path"))


@given(SECRETS)
def test_quoted_password_of_a_conninfo_is_hidden(secret: str) -> None:
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    text = mask(f"host=db password='{escaped}' dbname=cn")
    assert_hidden(text)
    assert text.endswith(" dbname=cn")


@given(SECRETS)
def test_password_of_a_json_document_is_hidden(secret: str) -> None:
    text = mask(json.dumps({"POSTGRES_PASSWORD": secret, "user": "cn"}))
    assert_hidden(text)
    assert text.endswith(', "user": "cn"}')


@given(SECRETS)
def test_password_of_a_role_is_hidden(secret: str) -> None:
    literal = secret.replace("'", "''")
    text = mask(f"ALTER ROLE cn WITH LOGIN PASSWORD '{literal}' VALID UNTIL 'infinity';")
    assert_hidden(text)
    assert text.endswith(" VALID UNTIL 'infinity';")


@given(SECRETS)
def test_remembered_secret_is_hidden_wherever_it_is(secret: str) -> None:
    remember(secret)
    assert_hidden(mask(f"a{secret}b and {secret}"))


@pytest.mark.parametrize(
    "text",
    [
        "PGPASSWORD=Qz7-7zQ psql",
        "password: Qz7-7zQ",
        "client_secret = Qz7-7zQ",
        "-e PGPASSWORD=Qz7-7zQ",
        "password=Qz7-7zQ host=db",
        "'password': 'Qz7-7zQ'",
        "password='Qz7 cut off 7zQ",
        "ALTER ROLE cn PASSWORD 'Qz7 cut off 7zQ",
    ],
)
def test_words_beside_a_password_are_known(text: str) -> None:
    assert_hidden(mask(text))


@pytest.mark.parametrize(
    "text",
    [
        "pg_dump --format=custom --no-password cn",
        "http://127.0.0.1:18080/healthz",
        "postgresql://cn@127.0.0.1:5432/cn",
        "GET /v1/events?topic=a@b answered 200",
        "password authentication failed for user cn",
        "バックアップ 🌸",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


def test_longer_secret_is_hidden_whole_when_it_holds_a_shorter_one() -> None:
    remember("horse")
    remember("horse battery")
    assert mask("my horse battery") == f"my {MASK}"


def test_short_or_missing_secrets_mask_no_words() -> None:
    for secret in (None, "", "cn", "abc"):
        remember(secret)
    assert mask("abc cn") == "abc cn"


def test_log_hides_secrets_of_arguments_and_tracebacks() -> None:
    remember("Qz7 hidden 7zQ")
    try:
        raise ValueError("Qz7 hidden 7zQ")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "with %s", ("Qz7 hidden 7zQ",), info)
    text = MaskingFormatter("%(message)s").format(record)
    assert "Traceback" in text
    assert_hidden(text)


@given(st.text(max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)
