"""Builders of generations: values for pure tests, and files for a backup folder."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn_ops.fingerprint import (
    FINGERPRINT_VERSION,
    Extension,
    Fingerprint,
    LargeObjects,
    MaterializedView,
    Membership,
    Probe,
    ProbeAnswer,
    Role,
    SchemaObject,
    SequenceState,
    SilencedConstraint,
    TableContent,
)
from cn_ops.manifest import write_manifest, write_proof
from cn_ops.model import Catalogue, DatabaseProperties, Generation, GenerationState, Manifest, Proof

PREFIX = "node"
NEWEST = "20261124-030000"
CONTENT = b"PGDMP and what follows"


def properties(**changes: Any) -> DatabaseProperties:
    """Return what belongs to an ordinary database."""
    ordinary = DatabaseProperties(
        owner="cn",
        encoding="UTF8",
        locale_provider="libc",
        collate="C",
        ctype="C",
        locale=None,
        icu_rules=None,
        connection_limit=-1,
        tablespace="pg_default",
        comment=None,
        privileges=None,
        settings=(),
    )
    return replace(ordinary, **changes)


def manifest(generation_id: str = NEWEST, **changes: Any) -> Manifest:
    """Return the manifest of a dump whose content is ``CONTENT``."""
    ordinary = Manifest(
        id=generation_id,
        database="cn",
        system_identifier="7400000000000000001",
        database_oid=16384,
        started_at="2026-11-24T03:00:00.000Z",
        finished_at="2026-11-24T03:00:01.000Z",
        duration_seconds=1.0,
        dump_file=f"{PREFIX}-{generation_id}.dump",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        format="custom",
        flags=("--format=custom",),
        globals_file=None,
        globals_sha256=None,
        server_version="17.6",
        tool_version="17.6",
        database_size_bytes=8_000_000,
        counted_table="cn_relay.events",
        counted_rows=9,
        rows=10,
        properties=properties(),
        cn_ops_version="0.1.0",
    )
    return replace(ordinary, **changes)


def put_generation(folder: Path, generation_id: str = NEWEST, **changes: Any) -> Path:
    """Put a generation's dump and manifest into a folder; return the dump."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / f"{PREFIX}-{generation_id}.dump"
    dump.write_bytes(CONTENT)
    write_manifest(
        folder / f"{PREFIX}-{generation_id}.manifest.json", manifest(generation_id, **changes), fingerprint()
    )
    return dump


def proof(**changes: Any) -> Proof:
    """Return the record that the dump with ``CONTENT`` was proven."""
    ordinary = Proof(
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        proven_at="2026-11-24T04:00:00Z",
        duration_seconds=2.5,
        server_version="17.6",
        tables=2,
        rows=10,
    )
    return replace(ordinary, **changes)


def put_proof(dump: Path, **changes: Any) -> Path:
    """Put on record, beside a dump, that it was proven; return the record."""
    path = dump.with_suffix(".proof.json")
    write_proof(path, proof(**changes))
    return path


def fingerprint(**changes: Any) -> Fingerprint:
    """Return the fingerprint of a small database that has one of everything."""
    ordinary = Fingerprint(
        server_version="17.6",
        database=properties(),
        tables=(
            TableContent("cn_relay.event_topics", 1, "00ff" * 8),
            TableContent("cn_relay.events", 9, "0a1b" * 8),
        ),
        sequences=(SequenceState("cn_relay.events_outbox_seq", 9, True, 1, 9, True),),
        large_objects=LargeObjects(1, "1" * 32, "2" * 32),
        materialized_views=(MaterializedView("cn_index.totals", True),),
        objects=(
            SchemaObject(
                "ACL", "cn_relay", "TABLE events", "cn", "GRANT SELECT ON TABLE cn_relay.events TO auditor;"
            ),
            SchemaObject("SCHEMA", "", "cn_relay", "cn", "CREATE SCHEMA cn_relay;"),
            SchemaObject("TABLE", "cn_relay", "events", "cn", "CREATE TABLE cn_relay.events (id text);"),
        ),
        extensions=(Extension("pgcrypto", "1.3", "public", "cn"),),
        roles=(
            Role("auditor", ("LOGIN",), (Membership("readers", ()),), ("work_mem=4MB",)),
            Role("cn", ("SUPERUSER",), (), ()),
        ),
        silenced=(SilencedConstraint("cn_relay.events", "events_fkey"),),
        probes=(ProbeAnswer(Probe("signed", "SELECT 0", "0"), "0", None),),
        fingerprint_version=FINGERPRINT_VERSION,
    )
    return replace(ordinary, **changes)


def generation(generation_id: str, *, damaged: bool = False, proven: bool = False, **changes: Any) -> Generation:
    """Return a generation as a value, without files; the changes are to its manifest."""
    state = GenerationState.PROVEN if proven else GenerationState.COMPLETE
    return Generation(
        generation_id,
        Path(f"/backups/{PREFIX}-{generation_id}.dump"),
        Path(f"/backups/{PREFIX}-{generation_id}.manifest.json"),
        GenerationState.DAMAGED if damaged else state,
        None if damaged else manifest(generation_id, **changes),
        "its dump is gone" if damaged else "",
        proof() if proven and not damaged else None,
    )


def catalogue(*generations: Generation) -> Catalogue:
    """Return a backup folder as a value."""
    return Catalogue(Path("/backups"), generations, (Path("/backups/notes.txt"),))
