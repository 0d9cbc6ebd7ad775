"""The journal: what is on disk is what must be healed."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.errors import OperationFailed
from cn_ops.journal import Intent, Journal

NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=10), max_size=3).map(tuple)
INTENTS = st.builds(
    Intent,
    operation=st.text(st.characters(codec="utf-8"), max_size=20),
    pid=st.integers(1, 2**31),
    stopped=NAMES,
    started=NAMES,
    started_stack=st.booleans(),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "the journal.json")


def test_nothing_on_disk_is_nothing_to_heal(journal: Journal) -> None:
    assert journal.read() is None


def test_intent_names_who_wrote_it() -> None:
    assert Intent("drill").pid == os.getpid()


@given(INTENTS)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, intent: Intent) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.json")
    assert journal.write(intent) == intent
    assert journal.read() == (None if intent.empty else intent)
    assert journal.path.exists() is not intent.empty


def test_journal_is_its_owners_alone(journal: Journal) -> None:
    journal.write(Intent("drill", stopped=("web",)))
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_journal_is_gone_when_nothing_is_left_to_heal(journal: Journal) -> None:
    journal.write(Intent("drill", stopped=("web",)))
    journal.update("drill", stopped=())
    assert not journal.path.exists()
    journal.update("drill", stopped=())
    assert journal.read() is None


def test_changes_add_to_what_an_unfinished_operation_left(journal: Journal) -> None:
    journal.write(Intent("backup", pid=1, stopped=("web",)))
    now = journal.update("drill", started_stack=True)
    assert now == Intent("drill", pid=os.getpid(), stopped=("web",), started_stack=True)
    assert journal.read() == now


def test_record_stays_whose_it_was_until_something_new_is_begun(journal: Journal) -> None:
    journal.write(Intent("restore", pid=7, stopped=("api",), closed=("cn",)))
    assert journal.update("heal", closed=()) == Intent("restore", pid=7, stopped=("api",))
    assert journal.update("stack.down", stopped=("api",)).operation == "restore"
    begun = journal.update("drill", started=("api",))
    assert (begun.operation, begun.pid) == ("drill", os.getpid())


def test_every_kind_of_intent_counts() -> None:
    assert Intent("x").empty
    for change in ({"stopped": ("a",)}, {"started": ("a",)}, {"started_stack": True}):
        assert not replace(Intent("x"), **change).empty, change


def written(journal: Journal) -> dict[str, object]:
    journal.write(Intent("drill", stopped=("web",)))
    document: dict[str, object] = json.loads(journal.path.read_text())
    return document


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: "",
        lambda document: "{",
        lambda document: "[]",
        lambda document: "null",
        lambda document: json.dumps(document)[:-9],
        lambda document: json.dumps({**document, "journal_version": 999}),
        lambda document: json.dumps({key: value for key, value in document.items() if key != "journal_version"}),
        lambda document: json.dumps({key: value for key, value in document.items() if key != "operation"}),
        lambda document: json.dumps({**document, "surprise": 1}),
        lambda document: json.dumps({**document, "stopped": 5}),
        lambda document: json.dumps({**document, "recreating": {"database": 1}}),
    ],
)
def test_journal_that_cannot_be_understood_is_no_guess(journal: Journal, damage: object) -> None:
    assert callable(damage)
    text = damage(written(journal))
    journal.path.write_text(text)
    with pytest.raises(OperationFailed, match="cannot be understood") as refused:
        journal.read()
    assert str(journal.path) in refused.value.message
    assert refused.value.state == "nothing was changed"
    with pytest.raises(OperationFailed):
        journal.update("drill", started_stack=True)
    assert journal.path.read_text() == text


def test_journal_that_is_no_text_is_no_guess(journal: Journal) -> None:
    journal.path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OperationFailed, match="cannot be understood"):
        journal.read()


def test_journal_that_cannot_be_read_is_named(journal: Journal) -> None:
    journal.path.mkdir()
    with pytest.raises(OperationFailed, match="cannot read the journal"):
        journal.read()
