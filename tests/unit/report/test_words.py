"""Long words on a narrow terminal: whoever copies a path gets all of it and nothing else."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cn_ops.report.terminal import output, pairs
from cn_ops.report.words import Words

PATH = "/srv/backups/of-the-community-node/cn-backup-20261127-030000.dump"


def lines(width: int, *parts: Words) -> list[str]:
    stream = io.StringIO()
    for part in parts:
        Console(file=stream, width=width).print(part, crop=False)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [1, 20, 40, 64, 80, 200])
def test_word_is_never_broken_and_none_is_lost(width: int) -> None:
    said = f"the dump {PATH} is not there"
    found = lines(width, Words(Text(said), Text("error: ")))
    assert " ".join(" ".join(found).split()) == f"error: {said}"
    assert any(PATH in line for line in found)
    assert all(len(line) <= width or len(line.removeprefix("error: ").split()) == 1 for line in found)


def test_lines_hang_below_the_first_word() -> None:
    assert lines(16, Words(Text("one two three four"), Text("now: "))) == ["now: one two", "     three four"]


def test_line_that_just_fits_is_not_folded() -> None:
    assert lines(12, Words(Text("now one two "), Text(""))) == ["now one two"]


def test_lines_of_the_text_stay_lines() -> None:
    assert lines(80, Words(Text("one\n\n  two"), Text("> "))) == ["> one", "", "    two"]


def test_nothing_is_still_a_line() -> None:
    assert lines(80, Words(Text(""), Text("name  "))) == ["name"]


def test_wide_characters_count_as_what_they_take() -> None:
    found = lines(10, Words(Text("復元 復元 復元")))
    assert found == ["復元 復元", "復元"]
    assert max(map(cell_len, found)) <= 10


def test_value_of_a_pair_is_whole() -> None:
    stream = io.StringIO()
    output(Console(file=stream, width=30), pairs([("dump", PATH), ("took", "2 s")]))
    assert stream.getvalue().splitlines() == [f"dump  {PATH}", "took  2 s"]


def test_style_of_the_label_is_its_own() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system="standard")
    console.print(Words(Text("one"), Text("error: ", "bold red")), crop=False)
    assert stream.getvalue() == "\x1b[1;31merror: \x1b[0mone\n"
