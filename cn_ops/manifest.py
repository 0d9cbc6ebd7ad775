"""Manifests: the JSON beside a dump that says what is in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from cn_ops.errors import OperationFailed
from cn_ops.files import explained, publish_json
from cn_ops.model import Manifest

MANIFEST_VERSION = 1
LARGEST_MANIFEST = 64 * 1024 * 1024


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Publish a manifest: from this moment its generation exists."""
    publish_json(path, asdict(manifest))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; raises ``OperationFailed`` saying what is wrong with it."""
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
    return _validated(path, document)


def _validated(path: Path, document: object) -> Manifest:
    from pydantic import ValidationError

    try:
        manifest: Manifest = _adapter().validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise OperationFailed(f"the manifest {path} is damaged: {where}: {first['msg']}") from error
    # Retention removes what these name: a path would lead out of the folder.
    for field, name in (("dump_file", manifest.dump_file), ("globals_file", manifest.globals_file)):
        if name is not None and (Path(name).name != name or name in ("", "..")):
            raise OperationFailed(f"the manifest {path} is damaged: {field} is not a file name")
    return manifest


@cache
def _adapter() -> Any:
    # Lazy: a command that reads no manifest should not pay for the import.
    from pydantic import TypeAdapter

    return TypeAdapter(Manifest)
