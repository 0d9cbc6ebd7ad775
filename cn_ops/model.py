"""Frozen values passed between the steps, and what reports are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from pathlib import Path


class Status(StrEnum):
    """How a step ended. Skipped and not run are never a pass."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class Phase:
    """A timed step; ``seconds`` is null when it did not run."""

    name: str
    status: Status
    seconds: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Identity:
    """Which database this is, whatever its name: the cluster's system identifier and the database's oid."""

    system_identifier: str
    database: str
    database_oid: int


@dataclass(frozen=True)
class Privilege:
    """One privilege on a database; ``grantee`` is empty for PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class DatabaseProperties:
    """What belongs to the database itself and is not in its dump.

    ``settings`` are (role or '', name=value) pairs of ALTER DATABASE / ALTER ROLE IN DATABASE … SET;
    ``privileges`` is null for the default ones.
    """

    owner: str
    encoding: str
    locale_provider: str
    collate: str
    ctype: str
    locale: str | None
    icu_rules: str | None
    connection_limit: int
    tablespace: str
    comment: str | None
    privileges: tuple[Privilege, ...] | None
    settings: tuple[tuple[str, str], ...]
    is_template: bool = False


@dataclass(frozen=True)
class Recreation:
    """A database that is being made anew from a dump, and how to tell it from another of that name.

    ``old_oid`` is the database that is to be replaced, null for none (in a second try, that of the first);
    ``new_oid`` the one that takes its place, once it exists. ``damaged`` says that the old one is not whole, or gone:
    a drill's fault, or an earlier restore that was killed or failed.
    ``manifest`` is the path of the file that says what must be there afterwards, null when nobody knows. Without
    ``owners`` or ``privileges`` the restore leaves those out; ``roles`` says that the server's roles, which no
    restore changes, must be what they were. The new database is called ``incoming`` until it is proven, and the old
    one ``previous`` from then on; with ``drop_first``, where there is no room for two, the old one is dropped before
    the new one is filled.
    """

    dump: str
    sha256: str
    database: str
    system_identifier: str
    properties: DatabaseProperties
    manifest: str | None
    old_oid: int | None
    incoming: str
    previous: str
    new_oid: int | None = None
    drop_first: bool = False
    damaged: bool = False
    owners: bool = True
    privileges: bool = True
    roles: bool = False


@dataclass(frozen=True)
class Manifest:
    """What is in a dump, beside it on disk; written last, so a generation exists if and only if this does.

    Times are UTC, durations seconds, sizes bytes. ``counted_rows`` (of one table) and
    ``rows`` (of all) were read in the dump's own snapshot.
    """

    id: str
    database: str
    system_identifier: str
    database_oid: int
    started_at: str
    finished_at: str
    duration_seconds: float
    dump_file: str
    size_bytes: int
    sha256: str
    format: str
    flags: tuple[str, ...]
    globals_file: str | None
    globals_sha256: str | None
    server_version: str
    tool_version: str
    database_size_bytes: int
    counted_table: str
    counted_rows: int
    rows: int
    properties: DatabaseProperties
    cn_ops_version: str
    manifest_version: int = 1


class GenerationState(StrEnum):
    """What a generation is worth."""

    COMPLETE = "complete"
    PROVEN = "proven"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Proof:
    """That a dump was restored once and found equal to its fingerprint; times are UTC, durations seconds."""

    sha256: str
    proven_at: str
    duration_seconds: float
    server_version: str
    tables: int
    rows: int
    proof_version: int = 1


@dataclass(frozen=True)
class Generation:
    """One backup in a backup folder; ``problem`` says why a damaged one is."""

    id: str
    dump: Path
    manifest_file: Path
    state: GenerationState
    manifest: Manifest | None = None
    problem: str = ""
    proof: Proof | None = None

    @property
    def proof_file(self) -> Path:
        """Where it is recorded that the generation was proven."""
        return self.dump.with_suffix(".proof.json")

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files, the manifest first: removing that one ends the generation."""
        names = [self.manifest_file, self.dump]
        if self.manifest is not None and self.manifest.globals_file:
            names.append(self.dump.parent / self.manifest.globals_file)
        return (*names, self.proof_file)


@dataclass(frozen=True)
class Catalogue:
    """A backup folder: generations, newest first, and the files that are not ours to touch."""

    directory: Path
    generations: tuple[Generation, ...]
    foreign: tuple[Path, ...]

    @property
    def complete(self) -> tuple[Generation, ...]:
        """The generations that count, the proven among them."""
        return tuple(one for one in self.generations if one.state is not GenerationState.DAMAGED)

    @property
    def proven(self) -> tuple[Generation, ...]:
        """The generations that were restored once and found equal."""
        return tuple(one for one in self.generations if one.state is GenerationState.PROVEN)

    def of(self, database: str, cluster: str | None) -> Catalogue:
        """Return what there is of a database, or may be; where a complete one is of this cluster, only its own."""
        alike = [one for one in self.generations if one.manifest is None or one.manifest.database == database]
        found = Catalogue(self.directory, tuple(alike), self.foreign)
        own = [one for one in alike if one.manifest is None or one.manifest.system_identifier == cluster]
        of_cluster = Catalogue(self.directory, tuple(own), self.foreign)
        return of_cluster if of_cluster.complete else found

    @property
    def passed_over(self) -> tuple[Generation, ...]:
        """The damaged generations that are newer than the newest complete one: `latest` is older than it seems."""
        return tuple(takewhile(lambda one: one.state is GenerationState.DAMAGED, self.generations))


@dataclass(frozen=True)
class Decision:
    """What retention does with one generation, and why."""

    generation: Generation
    keep: bool
    reason: str


@dataclass(frozen=True)
class BackupResult:
    """A finished backup."""

    generation: Generation
    manifest: Manifest
    dump: Path
    phases: tuple[Phase, ...]
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class VerifyResult:
    """A generation that was restored into a scratch server and found equal, but for what is ``stripped``."""

    generation: Generation
    proof: Proof
    stripped: tuple[str, ...]
    phases: tuple[Phase, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RestoreResult:
    """A finished restore. ``rows`` and ``tables`` are what was compared, null for a dump without a manifest."""

    source: Path
    generation: str | None
    database: str
    tables: int | None
    rows: int | None
    stripped: tuple[str, ...]
    previous: str | None
    restarted: tuple[str, ...]
    phases: tuple[Phase, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class DrillError:
    """Why a drill failed."""

    phase: str
    message: str
    hint: str
    database_state: str
    evidence: str
    exit_code: int


@dataclass(frozen=True)
class DrillReport:
    """A drill, passed or not. Counts are rows; what was not measured is None.

    ``overhead_seconds`` is the CPU time of this process: what is not the tools', the server's and the services'.
    """

    executed_at: datetime
    status: Status
    base_url: str
    backup_file: Path | None
    backup_generations: int
    baseline_event_count: int | None
    after_corruption_event_count: int | None
    after_restore_event_count: int | None
    log_path: Path
    stack: str
    scenario: str
    phases: tuple[Phase, ...]
    rto_seconds: float | None
    rows_lost_after_backup: int | None
    seconds_lost_after_backup: float | None
    tables_compared: int | None
    rows_compared: int | None
    overhead_seconds: float
    damage_noticed: int | None
    damage_tried: int | None
    application_entries_before: int | None
    application_entries_after: int | None
    error: DrillError | None
    versions: dict[str, str | None]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ServiceStatus:
    """A service of the stack."""

    name: str
    running: bool
    health: str
    where: str


@dataclass(frozen=True)
class StackStatus:
    """A stack and its services."""

    kind: str
    name: str
    disposable: bool
    base_url: str
    services: tuple[ServiceStatus, ...]


class Level(StrEnum):
    """What a finding means."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What was found about one subject, and what to do where something is wrong with it."""

    subject: str
    level: Level
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class PresetTime:
    """What a preset took to dump the live database, without a fingerprint and without reading it back."""

    preset: str
    flags: tuple[str, ...]
    seconds: float
    size_bytes: int
