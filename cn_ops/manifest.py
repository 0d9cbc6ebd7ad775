"""Manifests: the JSON beside a dump that says what is in it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn_ops.errors import OperationFailed
from cn_ops.files import explained, publish_alone, publish_json
from cn_ops.fingerprint import FINGERPRINT_VERSION, Fingerprint
from cn_ops.model import Manifest, Proof

if TYPE_CHECKING:
    from pydantic import ValidationError

MANIFEST_VERSION = 1
# What a manifest says of its dump stands before its fingerprint, which is long where there are many tables. In a
# document that is indented, these are no part of any text.
HEAD_BYTES = 64 * 1024
FINGERPRINT_FOLLOWS = b',\n  "fingerprint": {\n'
END = b"\n  }\n}"
END_BYTES = 64
LARGEST_FOREIGN = 64 * 1024 * 1024
ANOTHER = "use another generation: `inv backups`"


def write_manifest(path: Path, manifest: Manifest, fingerprint: Fingerprint) -> None:
    """Publish a manifest, the fingerprint in it: from this moment its generation exists."""
    publish_json(path, {**asdict(manifest), "fingerprint": fingerprint})


def read_manifest(path: Path) -> Manifest:
    """Read a manifest without its fingerprint; raises ``OperationFailed`` saying what is wrong with it."""
    return _validated(path, _parsed(path, _head(path)))


def read_fingerprint(path: Path) -> Fingerprint:
    """Read the fingerprint in a manifest; raises ``OperationFailed`` saying what is wrong with it."""
    from pydantic import ValidationError

    data = _content(path)
    # By way of no dictionaries: there may be a hundred thousand objects in it.
    with suppress(ValidationError):
        found: _Fingerprinted = _adapter(_Fingerprinted).validate_json(data)
        _check_version(path, found.manifest_version)
        _check_fingerprint_version(path, found.fingerprint.fingerprint_version)
        return found.fingerprint
    document = _parsed(path, data).get("fingerprint")
    if not isinstance(document, dict):
        raise OperationFailed(f"the manifest {path} holds no fingerprint to compare with", hint=ANOTHER)
    _check_fingerprint_version(path, document.get("fingerprint_version"))
    try:
        fingerprint: Fingerprint = _adapter(Fingerprint).validate_python(document)
    except ValidationError as error:
        raise OperationFailed(f"the fingerprint in {path} is damaged: {_first(error)}", hint=ANOTHER) from error
    return fingerprint


def write_proof(path: Path, proof: Proof) -> None:
    """Record beside a dump that it was proven."""
    publish_alone(path, proof)


def read_proof(path: Path, sha256: str) -> Proof | None:
    """Read the record that a dump with this hash was proven; anything else proves nothing."""
    from pydantic import ValidationError

    with suppress(OSError, ValueError, RecursionError, ValidationError):
        proof: Proof = _adapter(Proof).validate_python(json.loads(path.read_bytes()))
        if proof.sha256 == sha256:
            return proof
    return None


@dataclass(frozen=True)
class _Fingerprinted:
    """The part of a manifest that the fingerprint is."""

    manifest_version: int
    fingerprint: Fingerprint


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise explained(error, path, "read") from error


def _head(path: Path) -> bytes:
    """Return a manifest without its fingerprint, or all of it where it is not written as ours are."""
    try:
        with path.open("rb") as stream:
            head, follows, _ = stream.read(HEAD_BYTES).partition(FINGERPRINT_FOLLOWS)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - END_BYTES))
            if follows and stream.read().rstrip().endswith(END):
                return head + b"\n}"
            stream.seek(0)
            whole = stream.read(LARGEST_FOREIGN + 1)  # not by its size: a device has none, and no end either
    except OSError as error:
        raise explained(error, path, "read") from error
    if len(whole) > LARGEST_FOREIGN:
        raise OperationFailed(f"the manifest {path} is too large to be one", hint=ANOTHER)
    return whole


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise OperationFailed(f"the manifest {path} is not JSON: {error}", hint=ANOTHER) from error
    if not isinstance(document, dict):
        raise OperationFailed(f"the manifest {path} is damaged: it is no JSON object", hint=ANOTHER)
    _check_version(path, document.get("manifest_version"))
    return document


def _check_version(path: Path, version: object) -> None:
    if isinstance(version, int) and version > MANIFEST_VERSION:
        raise OperationFailed(
            f"the manifest {path} has version {version}: it was written by a newer cn-ops",
            hint="use that version of cn-ops, or newer",
        )


def _check_fingerprint_version(path: Path, version: object) -> None:
    if version != FINGERPRINT_VERSION:
        raise OperationFailed(
            f"the manifest {path} has a fingerprint of version {version}; this cn-ops reads {FINGERPRINT_VERSION}",
            hint="use the version of cn-ops that made it, or another generation: `inv backups`",
        )


def _validated(path: Path, document: dict[str, Any]) -> Manifest:
    from pydantic import ValidationError

    try:
        manifest: Manifest = _adapter(Manifest).validate_python(document)
    except ValidationError as error:
        raise OperationFailed(f"the manifest {path} is damaged: {_first(error)}", hint=ANOTHER) from error
    # Retention removes what these name: a path would lead out of the folder.
    for field, name in (("dump_file", manifest.dump_file), ("globals_file", manifest.globals_file)):
        if name is not None and (Path(name).name != name or name in ("", "..")):
            raise OperationFailed(f"the manifest {path} is damaged: {field} is not a file name", hint=ANOTHER)
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
