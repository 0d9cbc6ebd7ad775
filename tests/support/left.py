"""What a killed or failed restore has left: its record, and the databases of that moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.model import Recreation
from cn_ops.postgres.session import session
from cn_ops.replacement import plan_recreation
from cn_ops.source import Source
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node
from tests.support.operations import Tools, back_up, execute

HALF = "DROP SCHEMA cn_user CASCADE; TRUNCATE cn_relay.events CASCADE"


class Left:
    """A site with a backup, and the record of an operation that was killed."""

    def __init__(self, site: Node) -> None:
        site.change({"restore": {"strategy": "recreate"}})
        self.site = site
        self.before = site.content()
        made = back_up(site)
        with site.operation("restore") as operation:
            self.plan = plan_recreation(operation, Source(made.dump, made.generation), made.manifest.sha256)

    def record(self, recreating: Recreation, **others: object) -> None:
        with self.site.operation("restore") as operation:
            operation.intend(recreating=recreating, **others)

    def oid(self, database: str | None = None) -> int:
        with session(self.site.stack, "postgres") as connection:
            return db.identity(connection, database or self.site.database).database_oid

    def dropped(self) -> str:
        """Be killed while the new database is being filled; return its name."""
        execute(self.site.stack, "CREATE DATABASE {}", self.plan.incoming)
        self.record(replace(self.plan, new_oid=self.oid(self.plan.incoming)))
        execute(self.site.stack, "DROP DATABASE {} WITH (FORCE)", self.site.database)
        return self.plan.incoming

    def made_anew(self, server: EmbeddedStack) -> None:
        execute(server, "DROP DATABASE {} WITH (FORCE)", self.site.database)
        execute(server, "CREATE DATABASE {}", self.site.database)


def expect_another_row(manifest: Path) -> None:
    document = json.loads(manifest.read_bytes())
    events = next(one for one in document["fingerprint"]["tables"] if one["name"] == "cn_relay.events")
    events["rows"] += 1
    manifest.write_text(json.dumps(document))


@contextmanager
def breaking(site: Node, tools: Tools) -> Iterator[None]:
    """Let every load fail for the block."""
    before = site.settings.stack.embedded.bin_dir
    tools(site, pg_restore='case "$*" in *--dbname*) echo "it is broken" >&2; exit 1;; esac; exec {real} "$@"')
    yield
    site.change({"stack": {"embedded": {"bin_dir": before and str(before)}}})
