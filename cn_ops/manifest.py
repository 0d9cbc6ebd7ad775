"""Manifests: the JSON beside a dump that says what is in it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn_ops.errors import OperationFailed
from cn_ops.files import explained, publish_json
from cn_ops.fingerprint import FINGERPRINT_VERSION, Fingerprint
from cn_ops.model import Manifest, Proof

if TYPE_CHECKING:
    from pydantic import ValidationError

MANIFEST_VERSION = 1
LARGEST_MANIFEST = 64 * 1024 * 1024


def write_manifest(path: Path, manifest: Manifest, fingerprint: Fingerprint) -> None:
    """Publish a manifest, the fingerprint in it: from this moment its generation exists."""
    publish_json(path, {**asdict(manifest), "fingerprint": asdict(fingerprint)})


def read_manifest(path: Path) -> Manifest:
    """Read a manifest without its fingerprint; raises ``OperationFailed`` saying what is wrong with it."""
    return _validated(path, _read(path))


def read_fingerprint(path: Path) -> Fingerprint:
    """Read the fingerprint in a manifest; raises ``OperationFailed`` saying what is wrong with it."""
    from pydantic import ValidationError

    document = _read(path).get("fingerprint")
    version = document.get("fingerprint_version") if isinstance(document, dict) else None
    if version != FINGERPRINT_VERSION:
        raise OperationFailed(
            f"the manifest {path} has a fingerprint of version {version}; this cn-ops reads {FINGERPRINT_VERSION}",
            hint="use the version of cn-ops that made it",
        )
    try:
        fingerprint: Fingerprint = _adapter(Fingerprint).validate_python(document)
    except ValidationError as error:
        raise OperationFailed(f"the fingerprint in {path} is damaged: {_first(error)}") from error
    return fingerprint


def write_proof(path: Path, proof: Proof) -> None:
    """Record beside a dump that it was proven."""
    publish_json(path, asdict(proof))


def read_proof(path: Path, sha256: str) -> Proof | None:
    """Read the record that a dump with this hash was proven; anything else proves nothing."""
    from pydantic import ValidationError

    with suppress(OSError, ValueError, ValidationError):
        proof: Proof = _adapter(Proof).validate_python(json.loads(path.read_bytes()))
        if proof.sha256 == sha256:
            return proof
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise OperationFailed(f"the manifest {path} is too large to be one")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise explained(error, path, "read") from error
    except ValueError as error:
        raise OperationFailed(f"the manifest {path} is not JSON: {error}") from error
    version = document.get("manifest_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > MANIFEST_VERSION:
        raise OperationFailed(
            f"the manifest {path} has version {version}: it was written by a newer cn-ops",
            hint="use that version of cn-ops, or newer",
        )
    if not isinstance(document, dict):
        raise OperationFailed(f"the manifest {path} is damaged: it is no JSON object")
    return document


def _validated(path: Path, document: dict[str, Any]) -> Manifest:
    from pydantic import ValidationError

    try:
        manifest: Manifest = _adapter(Manifest).validate_python(document)
    except ValidationError as error:
        raise OperationFailed(f"the manifest {path} is damaged: {_first(error)}") from error
    # Retention removes what these name: a path would lead out of the folder.
    for field, name in (("dump_file", manifest.dump_file), ("globals_file", manifest.globals_file)):
        if name is not None and (Path(name).name != name or name in ("", "..")):
            raise OperationFailed(f"the manifest {path} is damaged: {field} is not a file name")
    return manifest


def _first(error: ValidationError) -> str:
    # The input is left out: it may hold anything.
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "top level"
    return f"{where}: {first['msg']}"


@cache
def _adapter(kind: type) -> Any:
    # Lazy: a command that reads no manifest should not pay for the import.
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
