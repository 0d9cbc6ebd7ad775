"""Builders of generations: values for pure tests, and files for a backup folder."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn_ops.manifest import write_manifest
from cn_ops.model import Catalogue, DatabaseProperties, Generation, GenerationState, Manifest

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
        properties=properties(),
        cn_ops_version="0.1.0",
    )
    return replace(ordinary, **changes)


def put_generation(folder: Path, generation_id: str = NEWEST, **changes: Any) -> Path:
    """Put a generation's dump and manifest into a folder; return the dump."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / f"{PREFIX}-{generation_id}.dump"
    dump.write_bytes(CONTENT)
    write_manifest(folder / f"{PREFIX}-{generation_id}.manifest.json", manifest(generation_id, **changes))
    return dump


def generation(generation_id: str, *, damaged: bool = False) -> Generation:
    """Return a generation as a value, without files."""
    return Generation(
        generation_id,
        Path(f"/backups/{PREFIX}-{generation_id}.dump"),
        Path(f"/backups/{PREFIX}-{generation_id}.manifest.json"),
        GenerationState.DAMAGED if damaged else GenerationState.COMPLETE,
        None if damaged else manifest(generation_id),
        "its dump is gone" if damaged else "",
    )


def catalogue(*generations: Generation) -> Catalogue:
    """Return a backup folder as a value."""
    return Catalogue(Path("/backups"), generations, (Path("/backups/notes.txt"),))
