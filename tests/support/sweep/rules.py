"""The rules of the design that must never break, looked at from outside after a fault, and after the next command."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from cn_ops.errors import OpsError
from cn_ops.generations import read_catalogue
from cn_ops.journal import Intent
from cn_ops.model import Catalogue
from cn_ops.names import Beside, beside_pattern
from tests.support.sweep.site import DATABASE, FOREIGN, OLDER, PREFIX, SERVER, WRITERS, Site

# What people must never see: it says that a fault was not thought of.
UNEXPECTED = re.compile(r"this is a bug|Traceback|unexpected: ")
RANDOM = re.compile(r"\d{8}-\d{6}(-\d+)?|\.[a-z0-9_]{8}\.partial$|initdb-\w+$|~[0-9a-f]{8}")


def broken_by_a_fault(site: Site, *, restores: bool) -> Iterator[str]:
    """Name each rule that does not hold while the fault's consequences are still there."""
    try:
        left = site.node.journal or Intent("nothing")
    except OpsError as error:
        yield f"the journal: {error.message}"
        return
    yield from _databases(site, left, restores=restores)
    yield from _generations(site)
    running = site.stack.running()
    for name in WRITERS:
        if name not in running and name not in left.stopped and not left.started_stack:
            yield f"{name} does not run, and the journal does not say so"
    if SERVER not in running:
        yield "the server does not run"


def broken_at_the_end(site: Site, *, restores: bool) -> Iterator[str]:
    """Name each rule that does not hold once a command has ended well."""
    if site.node.journal is not None:
        yield f"the journal is not empty: {site.node.journal}"
    if missing := {SERVER, *WRITERS} - set(site.stack.running()):
        yield f"it does not run: {', '.join(sorted(missing))}"
    databases = site.databases()
    for name, open_ in databases.items():
        if not open_:
            yield f"nobody may connect to {name}"
        if name != DATABASE and not beside_pattern(DATABASE, Beside.PREVIOUS).fullmatch(name):
            yield f"the database {name} is left"
    if DATABASE not in databases:
        yield "the live database is gone"
    elif site.fingerprint() != (site.known.dumped if restores else site.live):
        yield "the live database is not what it must be"
    for path in site.node.backups.glob(".*.partial"):
        yield f"{path.name} is left"
    for path in site.journal_file.parent.glob(".*.partial"):
        yield f"{path.name} is left in the state folder"
    yield from _orphans(site)


def _databases(site: Site, left: Intent, *, restores: bool) -> Iterator[str]:
    databases = site.databases()
    recorded = left.recreating
    for name, open_ in databases.items():
        if not open_ and name not in left.closed:
            yield f"nobody may connect to {name}, and the journal does not say so"
        if beside_pattern(DATABASE, Beside.INCOMING).fullmatch(name) and not (recorded and recorded.incoming == name):
            yield f"{name} is there, and the journal does not say so"
    good = [site.live, *([site.known.dumped] if restores else [])]
    is_good = databases.get(DATABASE, False) and site.fingerprint() in good
    if recorded and (recorded.damaged or recorded.drop_first):
        # The database may be damaged or not there: then the dump on record is good, and nobody writes.
        if hashlib.sha256(Path(recorded.dump).read_bytes()).hexdigest() != recorded.sha256:
            yield "the database is being made anew from a dump that has changed"
        at_work = [name for name in WRITERS if name in site.stack.running()]
        if at_work and not is_good:
            yield f"{', '.join(at_work)} runs on a database that is not whole"
        if databases.get(DATABASE) and not recorded.damaged and not is_good:
            yield "what has the live database's name is neither what it was nor what the dump holds"
    elif DATABASE not in databases:
        yield "the live database is gone"
    elif databases[DATABASE] and not is_good:
        yield "the live database is neither what it was nor what the dump holds"


def unsaid(text: str) -> Iterator[str]:
    """Name what the message of a failure does not say."""
    if found := UNEXPECTED.search(text):
        yield f"the message is not one for people: {found[0]}"
    if "is damaged" in text and "the database" not in text:
        yield "it calls a good dump damaged"
    for word, what in (("now: ", "what state everything is in"), ("do: ", "what to do")):
        if word not in text:
            yield f"the message does not say {what}"


def catalogue(site: Site) -> Catalogue:
    """Return the generations."""
    return read_catalogue(site.node.backups, PREFIX)


def _generations(site: Site) -> Iterator[str]:
    found = catalogue(site)
    for one in found.generations:
        if one.manifest is None or one.problem:
            yield f"the generation {one.id} is damaged: {one.problem}"
        elif hashlib.sha256(one.dump.read_bytes()).hexdigest() != one.manifest.sha256:
            yield f"the dump of {one.id} is not the one of its manifest"
    ids = {one.id for one in found.complete}
    new = ids - {site.known.newest, *OLDER}
    if site.known.newest not in ids:
        yield "the newest generation of before is gone"
    if gone := set(OLDER) - ids:
        if not new:
            yield f"{', '.join(sorted(gone))} is gone, and there is no new generation"
        if gone != set(sorted(OLDER)[: len(gone)]):
            yield f"{', '.join(sorted(gone))} is gone, and an older one is there"
    if not (site.node.backups / FOREIGN).exists():
        yield "a file that is not ours is gone"


def _orphans(site: Site) -> Iterator[str]:
    """Name files that look like a generation's and belong to none: nothing would ever remove them."""
    for path in catalogue(site).foreign:
        if path.name != FOREIGN:
            yield f"{path.name} belongs to no generation"


def proofs(site: Site) -> dict[str, str]:
    """Return the hashes that are on record as proven, by generation."""
    files = site.node.backups.glob(f"{PREFIX}-*.proof.json")
    return {path.name: json.loads(path.read_text())["sha256"] for path in files}
