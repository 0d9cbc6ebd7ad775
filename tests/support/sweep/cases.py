"""Which faults are tried, and what became of them."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.faultline import KILLED_AFTER, POLL, Position
from tests.support.forker import Ended
from tests.support.sweep.rules import RANDOM, broken_at_the_end, broken_by_a_fault, unsaid
from tests.support.sweep.share import Share
from tests.support.sweep.site import Site

# So far positions may move where a command polls.
MOVED = 3
# How often a command is run again in which the fault did not happen: what was to meet it had moved away.
REPEATS = 2
# Rules that are about one command only.
More = Callable[[Site, Ended], Iterator[str]]


@dataclass(frozen=True)
class Case:
    """A fault: what happens at which position."""

    position: Position
    kind: str

    def __str__(self) -> str:
        return f"{self.position.place} {self.kind} ({self.position.gateway} {self.position.label})"


@dataclass(frozen=True)
class Command:
    """What is swept: a command line, whether it restores, whether the live database has drifted from the dump."""

    argv: tuple[str, ...]
    restores: bool = False
    drifted: bool = False
    after_fault: More = lambda _site, _ended: iter(())
    at_the_end: More = lambda _site, _ended: iter(())


@dataclass
class Outcome:
    """What the cases of a sweep came to."""

    tried: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def cases(positions: Sequence[Position]) -> list[Case]:
    """Return every fault at every position, but those that another one is.

    Nothing happens between two calls of a thread: to be killed after one is to be killed before the next. Beside a
    process that runs meanwhile, or a transaction that ends, it is tried all the same.
    """
    found = []
    # One poll is like another, and how many there are changes from run to run.
    positions = [one for one in positions if one.thread != POLL or one.number <= 2]
    last = {position.thread: position for position in positions}
    for position in positions:
        alone = position.gateway in ("file", "statement", "connect", "phase") and position not in last.values()
        kinds = [kind for kind in position.kinds if not (alone and kind == KILLED_AFTER)]
        found += [Case(position, kind) for kind in kinds]
    return found


def sample(every: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Choose some: half from as many pairs of gateway and kind, the rest evenly spread; other seeds, other ones."""
    chance = random.Random(seed)
    strata: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in every:
        strata[case.position.gateway, case.kind].append(case)
    chosen = [chance.choice(one) for one in chance.sample(list(strata.values()), min(len(strata), count // 2))]
    rest = [case for case in every if case not in chosen]
    wanted = max(0, count - len(chosen))
    step = max(1.0, len(rest) / wanted) if wanted else 0
    offset = chance.random() * step
    chosen += [
        rest[int(offset + number * step)] for number in range(wanted) if int(offset + number * step) < len(rest)
    ]
    return sorted(chosen, key=lambda case: (case.position.thread, case.position.number, case.kind))


def sweep(site: Site, command: Command, tried: Sequence[Case], said: Callable[[str], None] = print) -> Outcome:
    """Try each fault, look at the rules, run the command again and look once more."""
    outcome = Outcome()
    for number, case in enumerate(tried):
        site.begin(drifted=command.drifted)
        problems = list(_problems(site, command, case, outcome, heals_first=number % 2 == 1))
        outcome.tried += 1
        if outcome.tried % 25 == 0:
            said(f"{outcome.tried} of {len(tried)} tried: {dict(sorted(outcome.codes.items()))}")
        for problem in problems:
            outcome.failures.append(f"{case}: {problem}")
            said(f"{case}: {problem}")
        if problems:
            site.begin_anew()
    return outcome


def sweep_command(site: Site, command: Command, count: int, config: pytest.Config) -> None:
    """Try some faults of a command, or those that `--sweep` names, and fail with all rules that were broken."""
    site.begin(drifted=command.drifted)
    clean = site.run(command.argv)
    assert clean.code == 0, clean.text
    every = cases(clean.positions)
    seed = int(config.getoption("sweep_seed"))
    share: Share | None = config.getoption("sweep")
    tried = share.of(every) if share else sample(every, count, seed)
    outcome = sweep(site, command, tried)
    found = f"{len(clean.positions)} positions, {len(every)} faults, {outcome.tried} tried"
    sys.stdout.write(f"{found}: {dict(sorted(outcome.codes.items()))}\n")
    assert outcome.tried == len(tried) > 0
    assert not outcome.failures, f"seed {seed}:\n" + "\n".join(outcome.failures)


def _problems(site: Site, command: Command, case: Case, outcome: Outcome, *, heals_first: bool) -> Iterator[str]:
    ended = site.run(command.argv, case.position.place, case.kind)
    for _ in range(REPEATS):
        if ended.struck is not None or _is_past_the_end(case, ended):
            break
        site.begin(drifted=command.drifted)
        ended = site.run(command.argv, case.position.place, case.kind)
    if ended.struck is None and _is_past_the_end(case, ended):
        outcome.codes["past the end of a run that polled less"] += 1
        return
    if ended.struck is None:
        yield "the fault did not happen: this proves nothing"
        return
    # Where a command polls, positions move by some from run to run: the rules must hold there just as well.
    if RANDOM.sub("", ended.struck) != RANDOM.sub("", case.position.label):
        outcome.codes["at a neighbouring position"] += 1
    outcome.codes[f"{case.kind}: {'killed' if ended.code == -9 else ended.code}"] += 1
    if ended.code == 0:
        yield from broken_at_the_end(site, restores=command.restores)
        yield from command.at_the_end(site, ended)
    else:
        yield from _with_text(ended, broken_by_a_fault(site, restores=command.restores))
        if ended.code != -9:
            yield from _with_text(ended, unsaid(ended.text))
        yield from _with_text(ended, command.after_fault(site, ended))
    if heals_first:
        healed = site.run(("heal",))
        if healed.code != 0:
            yield f"`inv heal` ended with {healed.code}: {healed.text}"
        yield from (f"after heal, {one}" for one in broken_by_a_fault(site, restores=command.restores))
        if site.node.journal is not None:
            yield f"after heal, the journal is not empty: {site.node.journal}"
    again = site.run(command.argv)
    if again.code != 0:
        yield f"the next run ended with {again.code}: {again.text}"
    yield from (f"after the next run, {one}" for one in broken_at_the_end(site, restores=command.restores))
    yield from (f"after the next run, {one}" for one in command.at_the_end(site, again))


def _with_text(ended: Ended, problems: Iterator[str]) -> Iterator[str]:
    yield from (f"{problem}\n    it ended with {ended.code}: {_indented(ended.text)}" for problem in problems)


def _indented(text: str) -> str:
    return "\n        ".join(text.strip().splitlines())


def _is_past_the_end(case: Case, ended: Ended) -> bool:
    """Whether a command that succeeded had fewer positions this time, for it did not poll as often."""
    there = [one.number for one in ended.positions if one.thread == case.position.thread]
    return ended.code == 0 and max(there, default=0) < case.position.number + MOVED
