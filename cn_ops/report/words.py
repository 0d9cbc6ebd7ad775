"""Text for a terminal that is folded between words only: a path or a command can be copied in one piece."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

WORD = re.compile(r"\S+\s*")


class Words:
    """A text, folded between its words; one that is longer than a line runs over, and the terminal folds it.

    ``label`` stands before its first line, and as many blanks before the others. Print it with ``crop=False``.
    """

    def __init__(self, text: Text, label: Text | None = None) -> None:
        self._text = text
        self._label = label or Text()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        indent = Text(" " * self._label.cell_len)
        before = self._label
        for line in self._text.split(allow_blank=True):
            for part in line.divide(_folds(line.plain, options.max_width - before.cell_len)):
                whole = Text.assemble(before, part)
                whole.rstrip()
                whole.no_wrap, whole.overflow = True, "ignore"
                yield whole
                before = indent


def _folds(line: str, width: int) -> list[int]:
    """Return where a line is folded, as offsets of characters; ``width`` in cells of the terminal."""
    folds, column = [], 0
    for word in WORD.finditer(line):
        if column and column + cell_len(word[0].rstrip()) > width:
            folds.append(word.start())
            column = 0
        column += cell_len(word[0])
    return folds
