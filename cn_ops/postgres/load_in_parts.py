"""Load a large table on several sessions, where one of pg_restore's would keep the others waiting.

pg_restore loads a table on one session, and on two cores reading the rows' text takes longer than everything else. So
the rows are dealt out in turn to several sessions, beside the tools: they pass through no pipe of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cn_ops.fingerprint import Fingerprint, SchemaObject
from cn_ops.postgres.archive import contents
from cn_ops.stack import Server

# Below, three more calls of pg_restore cost what is won.
LARGE_BYTES = 128 << 20
# The names of others are written with quotes in a fingerprint, and sanitized by `pg_restore --list`.
_PLAIN_NAME = re.compile(r"[^\".\s]+\.[^\".\s]+")

# $1: how many sessions, $2: the database's connection string, $3: the table's line of `pg_restore --list`, the rest:
# pg_restore, its arguments and the dump.
# What surrounds the rows goes to every session; if it is anything but what pg_dump writes there, nothing is done. awk
# tells the sessions apart by their command lines, and its close() what a session ended with.
LOAD_TABLE = r"""
trap 'trap "" TERM; kill -TERM 0; exit 143' INT TERM HUP
sessions=$1 CN_OPS_DATABASE=$2 entry=$3
export CN_OPS_DATABASE
shift 3
{ printf '%s\n' "$entry" | "$@" --use-list=/dev/stdin --file=- || echo 'cn-ops: pg_restore failed'; } |
LC_ALL=C awk -v sessions="$sessions" '
  BEGIN {
    for (i = 0; i < sessions; i++)
      to[i] = "exec psql --no-psqlrc --quiet --no-password --set=ON_ERROR_STOP=1 --single-transaction" \
        " --dbname=\"$CN_OPS_DATABASE\" --file=- >/dev/null # " i
  }
  rows == 1 && $0 != "\\." { print | to[NR % sessions]; next }
  rows != 1 && !/^(--.*|SET .*|SELECT pg_catalog\.set_config\(.*|\\(un)?restrict .*|COPY .* FROM stdin;)?$/ {
    print "in place of a table there is: " $0 >"/dev/stderr"
    failed = 1
    exit
  }
  /^COPY / || rows == 1 { rows++ }
  { for (i = 0; i < sessions; i++) print | to[i] }
  END {
    for (i = 0; i < sessions; i++) if (close(to[i]) != 0) failed = 1
    exit failed || rows != 2
  }' &
wait $!
"""


def large_tables(fingerprint: Fingerprint, jobs: int) -> tuple[str, ...]:
    """Return the tables that one of so many sessions would load longer than the others load all the rest."""
    total = sum(one.size_bytes for one in fingerprint.tables)
    least = max(LARGE_BYTES, total // jobs)
    large = [one.name for one in fingerprint.tables if one.size_bytes > least and _PLAIN_NAME.fullmatch(one.name)]
    # An heir's columns, and a typed table's, are written elsewhere.
    return () if large and any(_has_long_name(one) for one in fingerprint.objects) else tuple(large)


def _has_long_name(one: SchemaObject) -> bool:
    """Whether a name in it may go on over a line's end: rows are told from what surrounds them line by line."""
    return one.type in ("TABLE", "TYPE") and any(line.count('"') % 2 for line in one.text.splitlines())


def entries(server: Server, dump: Path, tables: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the lines of a dump's list that are the rows of some tables, and all others.

    A table whose line cannot be told from another's is among the others.
    """
    with contents(server, dump) as (arguments, stream):
        lines = server.tool(["pg_restore", "--list", *arguments], stdin=stream).stdout.splitlines()
    wanted: set[str] = set()
    for schema, name in (one.split(".") for one in tables):
        found = [
            line for line in lines if re.match(rf"\d+; \d+ \d+ TABLE DATA {re.escape(f'{schema} {name}')} ", line)
        ]
        wanted.update(found if len(found) == 1 else ())
    return [line for line in lines if line in wanted], [line for line in lines if line not in wanted]


def load_table(server: Server, database: str, entry: str, argv: Sequence[str], path: str, jobs: int) -> None:
    """Load the rows of one table on so many sessions; ``database`` is a connection string.

    Raises ``ProcessFailed``; some of the rows may be there then.
    """
    with server.script_started(LOAD_TABLE, [str(jobs), database, entry, *argv, path]) as running:
        running.wait()
