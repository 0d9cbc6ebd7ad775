"""Results as JSON documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cn_ops.fingerprint import Comparison
from cn_ops.model import BackupResult, Catalogue, Decision, Generation, RestoreResult, StackStatus, VerifyResult
from cn_ops.report.summary import phase_documents


def backup_document(result: BackupResult) -> dict[str, Any]:
    """Return a finished backup."""
    return {
        "dump": str(result.dump),
        "manifest": asdict(result.manifest),
        "phases": phase_documents(result.phases),
        "pruned": [one.generation.id for one in result.decisions if not one.keep],
        "warnings": list(result.warnings),
    }


def restore_document(result: RestoreResult) -> dict[str, Any]:
    """Return a finished restore."""
    return {**asdict(result), "source": str(result.source), "phases": phase_documents(result.phases)}


def verify_document(result: VerifyResult) -> dict[str, Any]:
    """Return a proven generation."""
    return {
        "generation": result.generation.id,
        "proof": asdict(result.proof),
        "stripped": list(result.stripped),
        "phases": phase_documents(result.phases),
        "warnings": list(result.warnings),
    }


def comparison_document(database: str, dump: Path, comparison: Comparison) -> dict[str, Any]:
    """Return what differs."""
    return {"database": database, "dump": str(dump), "equal": comparison.equal, **asdict(comparison)}


def catalogue_document(catalogue: Catalogue) -> dict[str, Any]:
    """Return a backup folder."""
    return {
        "directory": str(catalogue.directory),
        "generations": [_generation(one) for one in catalogue.generations],
        "foreign": [str(path) for path in catalogue.foreign],
    }


def decision_document(decisions: Sequence[Decision], suspicion: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Return what retention decided."""
    return {
        "dry_run": dry_run,
        "suspicion": suspicion,
        "decisions": [{"id": one.generation.id, "keep": one.keep, "reason": one.reason} for one in decisions],
    }


def stack_document(status: StackStatus, unfinished: str | None) -> dict[str, Any]:
    """Return a stack's state."""
    return {**asdict(status), "unfinished_operation": unfinished}


def _generation(generation: Generation) -> dict[str, Any]:
    return {
        "id": generation.id,
        "dump": str(generation.dump),
        "state": str(generation.state),
        "problem": generation.problem,
        "manifest": asdict(generation.manifest) if generation.manifest else None,
        "proof": asdict(generation.proof) if generation.proof else None,
    }
