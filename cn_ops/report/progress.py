"""Phases on a terminal, as they happen; on a pipe, one line each."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.status import Status as Spinner
from rich.text import Text

from cn_ops.model import Phase, Status
from cn_ops.report.words import Words
from cn_ops.text import readable_seconds

MARKS = {
    Status.PASSED: ("✓", "green"),
    Status.FAILED: ("✗", "bold red"),
    Status.SKIPPED: ("–", "yellow"),
    Status.NOT_RUN: ("·", "dim"),
}
NAME_WIDTH = 19
SECONDS_WIDTH = 9


class Progress:
    """Tells a person of phases on stderr; a listener of ``cn_ops.phases``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner: Spinner | None = None
        self._name = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def began(self, name: str) -> None:
        """Show that a phase runs."""
        self._name = name
        if self._console.is_terminal:
            self._stop()
            self._spinner = self._console.status(self._line(""), spinner="dots")
            self._spinner.start()

    def advanced(self, detail: str) -> None:
        """Show how far it has come."""
        if self._spinner:
            self._spinner.update(self._line(detail))

    def ended(self, phase: Phase) -> None:
        """Leave a line with how it ended."""
        self._stop()
        mark, style = MARKS[phase.status]
        line = Text.assemble(
            (f"{mark} ", style),
            f"{phase.name:<{NAME_WIDTH}}",
            f"{readable_seconds(phase.seconds):>{SECONDS_WIDTH}}",
            ("  " + phase.detail if phase.detail else "", "dim"),
        )
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=self._console.is_terminal)

    def warned(self, message: str) -> None:
        """Leave a warning."""
        self._console.print(Words(Text(message), Text("! ", "yellow")), crop=False)

    def said(self, message: str) -> None:
        """Leave a plain line."""
        self._console.print(Words(Text(message, "dim")), crop=False)

    def _line(self, detail: str) -> Text:
        return Text(f"{self._name}  {detail}".rstrip(), overflow="ellipsis", no_wrap=True)

    def _stop(self) -> None:
        if self._spinner:
            self._spinner.stop()
            self._spinner = None
