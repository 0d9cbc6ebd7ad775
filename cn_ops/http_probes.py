"""Questions to the application, asked when it is back."""

from __future__ import annotations

from cn_ops.application import get
from cn_ops.errors import VerificationFailed
from cn_ops.operation import Operation


def ask_probes(operation: Operation, *, state: str) -> None:
    """Ask what the settings say; raises ``VerificationFailed`` naming the probe and what it answered."""
    probes = operation.settings.probes.http
    if not probes:
        return
    with operation.phases.phase("probes") as step:
        for probe in probes:
            answer = get(operation.stack.base_url.rstrip("/") + probe.path)
            if answer.status != probe.status:
                raise VerificationFailed(
                    f"probe {probe.name!r}: {probe.path} must answer HTTP {probe.status}",
                    evidence=answer.summary,
                    state=state,
                    hint="see `inv stack.logs`; `inv restore --undo` swaps the database back that was there before",
                )
        step.detail = f"{len(probes)} asked"
