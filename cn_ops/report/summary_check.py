"""Hold a drill's summary to its contract, field by field.

`python -m cn_ops.report.summary_check latest-summary.json` ends with 0 only when the summary tells of a passed
recovery: what a CI job asserts. A field that was not measured (null) never passes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

from cn_ops.errors import ExitCode
from cn_ops.model import Status


@dataclass(frozen=True)
class Rule:
    """What one field of a passed drill's summary must be."""

    field: str
    must_be: str
    holds: Callable[[Any], bool]


def _is_integer(value: object) -> TypeGuard[int]:
    # JSON has true and false of its own; Python counts them as integers
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_integer(value) or isinstance(value, float)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_absolute_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _are_versions(value: object) -> bool:
    return isinstance(value, dict) and value != {} and all(one is None or _is_text(one) for one in value.values())


# The fields of the old drill, in its order: they come first, and a CI step of its time still reads them.
OLD_RULES = (
    Rule("executed_at", "a time with its offset from UTC", _is_time),
    Rule("status", '"passed"', lambda value: value == Status.PASSED.value),
    Rule("base_url", "an http(s) URL", _is_url),
    Rule("backup_file", "an absolute path", _is_absolute_path),
    Rule("backup_generations", "an integer of at least 1", lambda value: _is_integer(value) and value >= 1),
    Rule("baseline_event_count", "an integer above 0", lambda value: _is_integer(value) and value > 0),
    Rule("after_corruption_event_count", "0, measured", lambda value: _is_integer(value) and value == 0),
    Rule("after_restore_event_count", "an integer above 0", lambda value: _is_integer(value) and value > 0),
    Rule("log_path", "an absolute path", _is_absolute_path),
)
NEW_RULES = (
    Rule("schema_version", "an integer of at least 1", lambda value: _is_integer(value) and value >= 1),
    Rule("stack", "the stack's kind", _is_text),
    Rule("scenario", "the scenario's name", _is_text),
    Rule(
        "phases",
        "a list, each passed or skipped; fault, restore and verify passed",
        lambda value: isinstance(value, list) and value != [],
    ),
    Rule("rto_seconds", "a number above 0", lambda value: _is_number(value) and value > 0),
    Rule("rows_lost_after_backup", "an integer of at least 0", lambda value: _is_integer(value) and value >= 0),
    Rule("error", "null", lambda value: value is None),
    Rule("versions", "an object of texts (null: not known)", _are_versions),
    Rule("tables_compared", "an integer above 0", lambda value: _is_integer(value) and value > 0),
)
# Without these a drill proves nothing, whatever its counts are.
PROVING_PHASES = ("fault", "restore", "verify")


def problems(summary: Mapping[str, Any]) -> list[str]:
    """Return what keeps this summary from telling of a passed recovery, one line each; none is a pass."""
    found = [*_misplaced(summary)]
    for rule in OLD_RULES + NEW_RULES:
        if rule.field not in summary:
            found.append(f"{rule.field}: is missing, must be {rule.must_be}")
        elif not rule.holds(summary[rule.field]):
            found.append(f"{rule.field}: must be {rule.must_be}, is {_shown(summary[rule.field])}")
    baseline, restored = summary.get("baseline_event_count"), summary.get("after_restore_event_count")
    if restored != baseline:
        found.append(
            f"after_restore_event_count: must equal baseline_event_count ({_shown(baseline)}), is {_shown(restored)}"
        )
    noticed, tried = summary.get("damage_noticed"), summary.get("damage_tried")
    if noticed != tried or tried == 0:
        found.append(
            f"damage_noticed: must equal damage_tried ({_shown(tried)}, above 0 or null), is {_shown(noticed)}"
        )
    phases = summary.get("phases")
    return found + (_phase_problems(phases) if isinstance(phases, list) else [])


def _misplaced(summary: Mapping[str, Any]) -> list[str]:
    """Say which fields stand in the wrong place; what is missing is said elsewhere."""
    names = list(summary)
    old = [rule.field for rule in OLD_RULES if rule.field in summary]
    new = [rule.field for rule in NEW_RULES if rule.field in summary]
    found = []
    if names[: len(old)] != old:
        found.append(f"the first fields must be {', '.join(old)}, in this order; they are {', '.join(names[:9])}")
    if (order := [name for name in names if name in new]) != new:
        found.append(f"the fields after them must be {', '.join(new)}, in this order; they are {', '.join(order)}")
    return found


def _phase_problems(phases: Sequence[Any]) -> list[str]:
    found = []
    for number, phase in enumerate(phases):
        where = f"phases[{number}]"
        if not isinstance(phase, dict) or not _is_text(phase.get("name")):
            found.append(f"{where}: must be an object with name, status and seconds, is {_shown(phase)}")
            continue
        status, seconds = phase.get("status"), phase.get("seconds")
        where = f"{where} ({phase['name']})"
        if status not in (Status.PASSED.value, Status.SKIPPED.value):
            found.append(f'{where}: status must be "passed" (or "skipped"), is {_shown(status)}')
        if status == Status.PASSED.value and not (_is_number(seconds) and seconds >= 0):
            found.append(f"{where}: seconds must be a number of at least 0, is {_shown(seconds)}")
        if "seconds" not in phase or not (seconds is None or _is_number(seconds)):
            found.append(f"{where}: seconds must be there, a number or null")
    passed = [phase.get("name") for phase in phases if isinstance(phase, dict) and phase.get("status") == "passed"]
    return found + [f"phases: {name!r} must have passed" for name in PROVING_PHASES if name not in passed]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 120 else text[:117] + "…"


def main(argv: Sequence[str] | None = None) -> int:
    """Check a summary file and say what is wrong with it; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cn_ops.report.summary_check", description="Check that a drill's summary tells of a recovery."
    )
    parser.add_argument("summary", type=Path, help="the summary, as latest-summary.json")
    parser.add_argument("--stack", help="the kind of stack that must have been drilled")
    options = parser.parse_args(argv)
    try:
        summary = json.loads(options.summary.read_bytes())
    except OSError as error:
        return _refuse(f"cannot read {options.summary}: {error.strerror}", ExitCode.USAGE)
    except ValueError as error:
        return _refuse(f"{options.summary} is not JSON: {error}", ExitCode.NOT_EQUAL)
    if not isinstance(summary, dict):
        return _refuse(f"{options.summary} is not a JSON object", ExitCode.NOT_EQUAL)
    found = problems(summary)
    if options.stack and summary.get("stack") != options.stack:
        found.append(f"stack: must be {_shown(options.stack)}, is {_shown(summary.get('stack'))}")
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        return _refuse(f"{options.summary} does not tell of a recovery\n{listed}", ExitCode.NOT_EQUAL)
    sys.stdout.write(
        f"{options.summary}: recovered {summary['after_restore_event_count']} of {summary['baseline_event_count']} "
        f"rows on {summary['stack']} in {summary['rto_seconds']:.1f} s\n"
    )
    return ExitCode.OK


def _refuse(message: str, code: ExitCode) -> int:
    sys.stderr.write(f"summary check: {message}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
