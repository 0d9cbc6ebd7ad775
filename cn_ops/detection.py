"""Prove that the comparison sees: damage a copy, one thing after the other, and require each to be noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cn_ops.differences import compare
from cn_ops.errors import VerificationFailed
from cn_ops.fingerprint import Fingerprint, Stripped
from cn_ops.model import Recreation
from cn_ops.postgres.control_list import CONTROLS
from cn_ops.postgres.controls import damage
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.load import load
from cn_ops.postgres.scratch import scratch_database
from cn_ops.postgres.session import session
from cn_ops.proof import Subject, prove, require_equal
from cn_ops.replacement import wanted_fingerprint
from cn_ops.stack import Server


@dataclass(frozen=True)
class Detection:
    """How many kinds of damage were tried and noticed; ``not_tried`` had nothing to damage here."""

    tried: int
    noticed: int
    blind: tuple[str, ...]
    not_tried: tuple[str, ...]


def prove_detection(server: Server, recreation: Recreation, said: Callable[[str], None]) -> Detection:
    """Restore the dump once more, aside, and damage that copy; raises ``VerificationFailed`` for a blind spot.

    An undamaged copy must be found equal first: a comparison that always complains sees nothing either.
    """
    with scratch_database(server, recreation.database, recreation.properties) as copy:
        expected = wanted_fingerprint(recreation)
        dump, flags = Path(recreation.dump), {"owners": recreation.owners, "privileges": recreation.privileges}
        load(server, copy, dump, **flags, fingerprint=expected)
        if expected:
            _require_no_false_alarm(server, recreation, copy, expected)
        return _tried(server, copy, said)


def _require_no_false_alarm(server: Server, recreation: Recreation, copy: str, expected: Fingerprint) -> None:
    subject = Subject(server, copy, expected, Path(recreation.dump), recreation.database)
    comparison = prove(subject, Stripped(not recreation.owners, not recreation.privileges))
    require_equal(comparison, "an undamaged copy", state="the recovery itself had passed", hint="see the log")


def _tried(server: Server, copy: str, said: Callable[[str], None]) -> Detection:
    blind, not_tried = [], []
    before = take(server, copy)
    with session(server, copy) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger or foreign key hinders it
        for number, control in enumerate(CONTROLS, 1):
            said(f"{number} of {len(CONTROLS)}: {control.name}")
            if not damage(connection, control):
                not_tried.append(control.name)
                continue
            # Each is held against the state just before it, so that one copy serves for all.
            after = take(server, copy)
            if compare(before, after).equal:
                blind.append(control.name)
            before = after
    tried = len(CONTROLS) - len(not_tried)
    detection = Detection(tried, tried - len(blind), tuple(blind), tuple(not_tried))
    if blind or not tried:
        raise VerificationFailed(
            f"the comparison noticed {detection.noticed} of {tried} kinds of damage",
            evidence="not noticed: " + ", ".join(blind or ["nothing could be tried"]),
            hint="a drill whose detector is blind proves nothing: please report it",
        )
    return detection
