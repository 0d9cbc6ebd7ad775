"""What is measured, each in its ways: as the old script did it, with the bare tools, and with cn-ops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cn_ops.generations import read_catalogue
from cn_ops.jobs import default_jobs
from cn_ops.postgres.dump import dump_database, plan_dump
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.snapshot import snapshot
from cn_ops.postgres.snapshot_dump import Wanted, dump_snapshot
from cn_ops.settings import BackupSettings
from tests.bench.measure import Ran, Sample
from tests.bench.site import DATABASE, Site

COPY = "bench_copy"
OLD_DUMP = "old.dump"
TRUNCATE = "TRUNCATE cn_relay.events_outbox, cn_relay.event_topics, cn_relay.events CASCADE"
Way = Callable[[Site], Sample]


@dataclass(frozen=True)
class Subject:
    """Something that is done in several ways; the first is what the others are held against."""

    name: str
    ways: Mapping[str, Way]


def subjects() -> tuple[Subject, ...]:
    """Return everything that is measured, in an order in which each finds what it needs."""
    return (
        Subject(
            "backup",
            {
                "old way": old_backup,
                "bare tools, fast": lambda there: bare_backup(there, "fast"),
                "cn-ops, compatible": lambda there: our_backup(there, "compatible"),
                "cn-ops, fast": lambda there: our_backup(there, "fast"),
                "bare tools, parallel": bare_parallel_backup,
                "cn-ops, parallel": lambda there: our_backup(there, "parallel"),
            },
        ),
        Subject("dump", {"alone": dump_alone, "with its fingerprint": dump_with_fingerprint}),
        Subject("read-back", {"bare tools": bare_read, "cn-ops": our_read}),
        Subject("fingerprint", {"one session": lambda there: ours(there, 1), "a session for each core": ours}),
        Subject(
            "restore",
            {"old way": old_restore, "bare tools, parallel": bare_restore, "cn-ops": our_restore},
        ),
        Subject("verify", {"cn-ops": our_verify}),
        Subject(
            "drill", {"old way": old_drill, "cn-ops, the same steps": our_drill, "cn-ops, inv drill": whole_drill}
        ),
        Subject(
            "start-up",
            {"inv --list": lambda there: there.inv("--list").sample, "inv backups": lambda there: listing(there)},
        ),
    )


def old_backup(there: Site) -> Sample:
    """Dump inside the container, then copy the file out."""
    flags = "--format=custom --compress=9 --no-owner --no-acl"
    target = there.folder / OLD_DUMP
    target.unlink(missing_ok=True)
    steps = [
        there.shell(f"pg_dump {flags} --file={there.scratch}.dump {DATABASE}"),
        there.copied_out(f"{there.scratch}.dump", target),
        there.shell(f"rm {there.scratch}.dump"),
    ]
    return replace(_added(steps[:2]), bytes_out=target.stat().st_size)


def bare_backup(there: Site, preset: Literal["fast", "parallel"]) -> Sample:
    """Stream the same dump as ours into a file."""
    plan = plan_dump(there.stack, BackupSettings(preset=preset))
    with (there.folder / "bare.dump").open("wb") as target:
        ran = there.tool("pg_dump", *plan.flags, DATABASE, stdout=target)
        return replace(ran.sample, bytes_out=target.tell())


def bare_parallel_backup(there: Site) -> Sample:
    """Dump into a folder, and stream a tar of it out: the folder and the tar need twice the room."""
    plan = plan_dump(there.stack, BackupSettings(preset="parallel"))
    folder = there.scratch
    flags = " ".join(plan.flags)
    script = f"pg_dump {flags} --file={folder} {DATABASE} && tar -cf - -C {folder} . && rm -rf {folder}"
    with (there.folder / "bare.tar").open("wb") as target:
        ran = there.shell(script, stdout=target)
        return replace(ran.sample, bytes_out=target.tell())


def our_backup(there: Site, preset: str) -> Sample:
    """Make a generation: dump, fingerprint, roles, read back, prune."""
    ran = there.inv("backup", f"--preset={preset}", "--json")
    document = json.loads(ran.output)
    return replace(ran.sample, bytes_out=document["manifest"]["size_bytes"], parts=_phases(document))


def bare_read(there: Site) -> Sample:
    """Restore the newest fast dump to nowhere."""
    with newest(there, "custom").open("rb") as stream:
        return there.tool("pg_restore", "--file=/dev/null", stdin=stream).sample


def our_read(there: Site) -> Sample:
    """Check it as a restore does; `--dry-run` changes nothing."""
    return there.inv("restore", f"--dump={newest(there, 'custom')}", "--dry-run", "--json").sample


def dump_alone(there: Site) -> Sample:
    """Stream a dump of a snapshot into a file, as a backup does."""
    stack = there.stack
    plan = plan_dump(stack, BackupSettings(preset="fast"))

    def dump() -> None:
        with snapshot(stack, DATABASE) as view, (there.folder / "alone.dump").open("wb") as target:
            dump_database(stack, DATABASE, plan, view, target, advanced=lambda _: None)

    return _here(there, dump)


def dump_with_fingerprint(there: Site) -> Sample:
    """Do the same, and take the fingerprint of that snapshot beside it: everything that is compared later."""
    stack = there.stack
    wanted = Wanted(DATABASE, plan_dump(stack, BackupSettings(preset="fast")), "cn_relay.events", ())

    def dump() -> None:
        with (there.folder / "with.dump").open("wb") as target:
            dump_snapshot(stack, wanted, target, lambda _: None)

    return _here(there, dump)


def ours(there: Site, jobs: int | None = None) -> Sample:
    """Take a fingerprint."""
    return _here(there, lambda: take(there.stack, DATABASE, jobs=jobs))


def _here(there: Site, action: Callable[[], object]) -> Sample:
    """Measure what runs in this process, which is why its memory and CPU are not ours to tell."""
    before, began = there.server_cpu(), time.monotonic()
    action()
    return Sample(time.monotonic() - began, 0.0, there.server_cpu() - before, 0)


def old_restore(there: Site) -> Sample:
    """Copy the dump in, drop the database, make it anew, restore with one session."""
    dump = there.folder / OLD_DUMP
    steps = [
        there.copied_in(dump, f"{there.scratch}.dump"),
        there.tool("dropdb", "--if-exists", "--force", COPY),
        there.tool("createdb", COPY),
        there.tool(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--no-owner",
            "--no-acl",
            f"--dbname={COPY}",
            f"{there.scratch}.dump",
        ),
    ]
    _drop_copy(there)
    return _added(steps)


def bare_restore(there: Site) -> Sample:
    """Copy the dump in, restore with several sessions tuned as ours are, analyze."""
    jobs = default_jobs()
    there.tool("createdb", COPY)
    options = f"-c maintenance_work_mem=256MB -c synchronous_commit=off -c max_parallel_maintenance_workers={jobs}"
    script = (
        f"cat >{there.scratch}.dump; PGOPTIONS='{options}' pg_restore --exit-on-error --jobs={jobs} --dbname={COPY} "
        f"{there.scratch}.dump; vacuumdb --quiet --analyze-only --jobs={jobs} {COPY}; rm {there.scratch}.dump"
    )
    with newest(there, "custom").open("rb") as stream:
        ran = there.shell(script, stdin=stream)
    _drop_copy(there)
    return ran.sample


def our_restore(there: Site) -> Sample:
    """Restore beside the live database, compare everything, swap; what was replaced is dropped afterwards."""
    ran = there.inv("restore", f"--dump={newest(there, 'custom')}", "--yes", "--json")
    there.inv("restore", "--finish", "--yes", "--json")
    return replace(ran.sample, parts=_phases(json.loads(ran.output)))


def our_verify(there: Site) -> Sample:
    """Prove the newest fast dump in a scratch server."""
    ran = there.inv("verify", f"--dump={newest(there, 'custom')}", "--json")
    return ran.sample


def old_drill(there: Site) -> Sample:
    """Do what the old script did to the data, the node itself left out: it has to start either way."""
    count = ("psql", "-X", "-At", "-c", "SELECT count(*) FROM cn_relay.events", "--dbname")
    backup = old_backup(there)
    there.tool("createdb", f"--template={DATABASE}", COPY)  # what the old drill destroyed was the live database
    steps = [
        there.tool(*count, COPY),
        there.tool("psql", "-X", "-c", TRUNCATE, "--dbname", COPY),
        there.tool(*count, COPY),
        there.copied_in(there.folder / OLD_DUMP, f"{there.scratch}.dump"),
        there.tool("dropdb", "--if-exists", "--force", COPY),
        there.tool("createdb", COPY),
        there.tool(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--no-owner",
            "--no-acl",
            f"--dbname={COPY}",
            f"{there.scratch}.dump",
        ),
        there.tool(*count, COPY),
    ]
    _drop_copy(there)
    return _sum([backup, *(step.sample for step in steps)])


def our_drill(there: Site) -> Sample:
    """Back up and prove in a scratch server: everything that a drill does to the data, exactly compared."""
    backup = there.inv("backup", "--preset=fast", "--json").sample
    ran = there.inv("restore", f"--dump={newest(there, 'custom')}", "--yes", "--json")
    there.inv("restore", "--finish", "--yes", "--json")
    return _sum([backup, ran.sample])


def whole_drill(there: Site) -> Sample:
    """Run `inv drill` on the data that is there: services are started, stopped and asked as well."""
    settings = {"CN_OPS_DRILL__SEED": "null", "CN_OPS_DRILL__CLEANUP": "null", "CN_OPS_BACKUP__PRESET": "fast"}
    ran = there.inv("drill", "--no-build", "--json", **settings)
    return replace(ran.sample, parts=_phases(json.loads(ran.output)))


def listing(there: Site) -> Sample:
    """List the generations that are there."""
    return there.inv("backups", "--json").sample


def newest(there: Site, kind: str) -> Path:
    """Return the newest dump of a format that a preset other than `compatible` has made."""
    settings = there.settings.backup
    for one in read_catalogue(settings.directory, settings.prefix).complete:
        if one.manifest and one.manifest.format == kind and "--compress=9" not in one.manifest.flags:
            return one.dump
    raise LookupError(f"no dump in {kind} format")


def _drop_copy(there: Site) -> None:
    there.tool("dropdb", "--if-exists", "--force", COPY)
    there.shell(f"rm -rf {there.scratch}.dump {there.scratch}")


def _phases(document: Mapping[str, object]) -> dict[str, float]:
    phases = document["phases"]
    assert isinstance(phases, list)
    return {one["name"]: one["seconds"] for one in phases if one["seconds"] is not None}


def _added(steps: list[Ran]) -> Sample:
    return _sum([step.sample for step in steps])


def _sum(samples: list[Sample]) -> Sample:
    return Sample(
        seconds=sum(one.seconds for one in samples),
        cpu_seconds=sum(one.cpu_seconds for one in samples),
        server_cpu_seconds=sum(one.server_cpu_seconds for one in samples),
        peak_bytes=max(one.peak_bytes for one in samples),
    )
