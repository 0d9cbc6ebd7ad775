"""The node's settings: what is taken from the environment, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.devnode import environment
from cn_ops.devnode.database import check_url
from cn_ops.devnode.environment import Address
from cn_ops.errors import UsageError


def test_defaults_are_the_ones_that_are_documented() -> None:
    assert environment.user_api_address({}) == Address("127.0.0.1", 8080)
    assert environment.bootstrap_address({}) == Address("127.0.0.1", 8083)
    assert environment.refresh_seconds({}) == 300
    assert environment.topic({}) == "kukuri:e2e-alpha"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:8080", Address("0.0.0.0", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_address_is_read_and_written_alike(text: str, expected: Address) -> None:
    address = environment.user_api_address({"USER_API_ADDR": text})
    assert address == expected
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "127.0.0.1", "127.0.0.1:", "h:65536", "h:-1", "h:8o", "::1:80", "h:٣"]
)
def test_bad_address_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(UsageError, match="BOOTSTRAP_ADDR"):
        environment.bootstrap_address({"BOOTSTRAP_ADDR": text})


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1 s"])
def test_bad_refresh_interval_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="BOOTSTRAP_REFRESH_SECONDS"):
        environment.refresh_seconds({"BOOTSTRAP_REFRESH_SECONDS": text})


def test_refresh_interval_may_be_a_fraction() -> None:
    assert environment.refresh_seconds({"BOOTSTRAP_REFRESH_SECONDS": "0.25"}) == 0.25


@pytest.mark.parametrize("value", [" ", "\udcff"])
def test_bad_topic_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="E2E_COMMUNITY_NODE_TOPIC_NAME"):
        environment.topic({"E2E_COMMUNITY_NODE_TOPIC_NAME": value})


@pytest.mark.parametrize("url", ["", "cn", "mysql://cn@localhost/cn", "host=localhost dbname=cn"])
def test_what_is_no_database_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL"):
        environment.database_url({"DATABASE_URL": url})


@pytest.mark.parametrize(
    "url", ["postgresql://cn:hunter/2secret@db/cn", "postgresql://cn:hunter2@db/cn?nonsense", "postgresql://[::1"]
)
def test_unreadable_url_is_refused_without_a_piece_of_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL") as refused:
        check_url(url)
    assert "hunter" not in refused.value.message


def test_url_with_a_socket_is_taken() -> None:
    url = "postgresql://cn@/cn?host=%2Frun%2Fsockets&options=-c%20statement_timeout%3D0"
    assert environment.database_url({"DATABASE_URL": url}) == url
    check_url(url)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = environment.user_api_address({"USER_API_ADDR": text})
    except UsageError:
        return
    assert 0 <= address.port <= 65535
    assert address.host
