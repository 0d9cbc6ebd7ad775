"""Command lines as Invoke reads them, and where they stand in a text."""

from __future__ import annotations

import re
import shlex

from invoke.parser import Parser

from cn_ops.tasks import namespace

# `inv drill`, `.venv/bin/inv drill`, variables before it: in a line of a code block or between backticks
COMMAND = re.compile(r"(?:^ *|`|&& |ExecStart=)(?:[A-Z_]+=\S+ )*(?:\S*/)?inv ([a-z][^`\n&;]*)", re.MULTILINE)


def commands(text: str) -> list[str]:
    """Return what follows `inv` in each command of a Markdown text."""
    return COMMAND.findall(text)


def parse(arguments: str) -> list[str]:
    """Return the tasks that Invoke would run; raises ``ParseError`` for what it does not know."""
    words = shlex.split(arguments.partition(" > ")[0], comments=True)
    return [str(one.name) for one in Parser(contexts=namespace().to_contexts()).parse_argv(words)]
