"""End a tool in a container when the one who started it is gone.

The engine neither passes signals on to what `exec` started nor ends it when its client is killed, and it reads
on what nobody wants any more: a pg_dump would run to its end, unseen. What the engine does pass on, within half
a second, is the end of the input: the tool gets a guard that waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

# The tool itself reads nothing. The guard's output is closed: it would hold the exec open after the tool's end.
# The engine hands on every piece that a tool writes by itself, and pg_dump writes 4 KB at a time: where the image has
# coreutils' stdbuf, larger pieces save CPU. Much larger ones let pg_dump wait while they go (docs/performance.md).
GUARD = """\
exec 3<&0
if command -v stdbuf >/dev/null; then set -- stdbuf -o32K "$@"; fi
"$@" </dev/null 3<&- & tool=$!
{ cat <&3; kill -TERM "$tool"; } >/dev/null 2>&1 & guard=$!
exec 3<&-
wait "$tool"; status=$?
kill "$guard" 2>/dev/null
exit "$status"
"""


@contextmanager
def lifeline(argv: Sequence[str]) -> Iterator[tuple[tuple[str, ...], BinaryIO]]:
    """Give the guarded command and its input, which ends with this block or with this process."""
    reading, writing = os.pipe()  # neither end is inherited: a child that kept one would keep the tool alive
    try:
        with os.fdopen(reading, "rb") as source:
            yield ("sh", "-c", GUARD, argv[0], *argv), source
    finally:
        os.close(writing)
