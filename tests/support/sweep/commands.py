"""What is swept."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.forker import Ended
from tests.support.sweep.cases import Command
from tests.support.sweep.rules import catalogue, proofs
from tests.support.sweep.site import DATABASE, KEPT, OLDER, Site


def _a_new_generation(site: Site, _: Ended) -> Iterator[str]:
    ids = [one.id for one in catalogue(site).complete]
    if not set(ids) - {site.known.newest, *OLDER}:
        yield "there is no new generation"
    if len(ids) != KEPT:
        yield f"{len(ids)} generations are kept: {ids}"


def _none_where_it_says_so(site: Site, ended: Ended) -> Iterator[str]:
    new = {one.id for one in catalogue(site).complete} - {site.known.newest, *OLDER}
    if new and "no generation was made" in ended.text:
        yield f"it says that no generation was made, and there is {new}"


def _database_is_what_it_says(site: Site, ended: Ended) -> Iterator[str]:
    said = {
        "is as it was": site.live,
        "is the restored one": site.known.dumped,
        "is the one that was to take its place": site.known.dumped,
    }
    for words, wanted in said.items():
        is_said = any(words in line for line in ended.text.splitlines() if "now: " in line)
        if is_said and (DATABASE not in site.databases() or site.fingerprint() != wanted):
            yield f"it says that the database {words}, and that is not so"


def _proven(site: Site, _: Ended) -> Iterator[str]:
    if len(proofs(site)) != 1:
        yield f"it is on record as proven: {proofs(site)}"


def _nothing_proven_by_a_failure(site: Site, ended: Ended) -> Iterator[str]:
    hashes = {one.manifest.sha256 for one in catalogue(site).complete if one.manifest}
    if wrong := {name: one for name, one in proofs(site).items() if one not in hashes}:
        yield f"a proof of something else is on record: {wrong}"


COMMANDS = {
    "backup": Command(("backup",), after_fault=_none_where_it_says_so, at_the_end=_a_new_generation),
    "restore beside": Command(
        ("restore", "--dump=latest"), restores=True, drifted=True, after_fault=_database_is_what_it_says
    ),
    "restore recreate": Command(
        ("restore", "--dump=latest", "--strategy=recreate"),
        restores=True,
        drifted=True,
        after_fault=_database_is_what_it_says,
    ),
    "verify": Command(("verify",), after_fault=_nothing_proven_by_a_failure, at_the_end=_proven),
    "drill": Command(("drill",), restores=True, at_the_end=_a_new_generation),
}
