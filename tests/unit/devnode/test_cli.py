"""`cn`: usage, and what an environment that cannot be used is answered with."""

from __future__ import annotations

import pytest

from cn_ops.devnode.cli import main


@pytest.mark.parametrize(
    "command", [["migrate"], ["config", "seed"], ["user-api"], ["bootstrap"], ["e2e", "cleanup"]]
)
def test_missing_database_url_is_one_line_and_exit_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("cn: error: DATABASE_URL is not set")
    assert shown.err.count("\n") == 1


def test_bad_address_is_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://cn@127.0.0.1/cn")
    monkeypatch.setenv("USER_API_ADDR", "8080")
    assert main(["user-api"]) == 2
    assert "USER_API_ADDR" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["8", "-9", "many", "1e6", "10000001"])
def test_bad_number_of_events_is_exit_2(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["e2e", "seed", "--events", count])
    assert ended.value.code == 2
    assert "must be from 9" in capsys.readouterr().err


def test_help_shows_examples_and_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "cn e2e seed --events 1000000" in shown
    for name in ("DATABASE_URL", "USER_API_ADDR", "BOOTSTRAP_ADDR", "BOOTSTRAP_REFRESH_SECONDS"):
        assert name in shown


def test_no_command_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
