"""Which migrations are still to apply, and when a database is refused."""

from __future__ import annotations

import re

import pytest

from cn_ops.devnode.migrate import Migration, packaged, pending
from cn_ops.errors import OperationFailed

ONE, TWO = Migration(1, "one", "SELECT 1"), Migration(2, "two", "SELECT 2")


def test_only_what_is_missing_is_applied() -> None:
    assert pending([ONE, TWO], {}) == (ONE, TWO)
    assert pending([ONE, TWO], {1: ONE.sha256}) == (TWO,)
    assert pending([ONE, TWO], {1: ONE.sha256, 2: TWO.sha256}) == ()


def test_changed_file_is_refused_by_name() -> None:
    with pytest.raises(OperationFailed, match="0001_one was changed"):
        pending([ONE], {1: TWO.sha256})


def test_database_of_a_newer_node_is_refused() -> None:
    with pytest.raises(OperationFailed, match="0002, which this node does not know"):
        pending([ONE], {1: ONE.sha256, 2: TWO.sha256})


def test_packaged_files_are_numbered_without_a_gap() -> None:
    found = packaged()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert len(found) >= 5


def test_packaged_files_hold_the_promised_kinds_of_things() -> None:
    text = "\n".join(migration.sql for migration in packaged())
    for word in ("jsonb", "bytea", "REFERENCES", "bigserial", '"window"', '"limit"', "CREATE VIEW", "PARTITION BY"):
        assert word in text
    assert re.search(r"CREATE UNIQUE INDEX \w+ ON [\w.]+ \(\w+\)\s+WHERE", text)
    assert "append-only" in text
