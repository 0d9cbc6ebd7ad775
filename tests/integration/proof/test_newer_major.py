"""A generation comes back equal on a server of a newer major version, whose pg_dump begins with other settings."""

from __future__ import annotations

from pathlib import Path

from cn_ops.phases import Phases, Silent
from cn_ops.source import find_source
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.verify import verify
from tests.integration.proof.conftest import BINARIES
from tests.support import stacks
from tests.support.capabilities import require
from tests.support.nodes import Node, rows
from tests.support.operations import back_up, execute

DATABASE = "older"
SCHEMA = """
CREATE TABLE public.counted (n int PRIMARY KEY, v varchar NOT NULL CHECK (v IN ('a', 'b')), w text DEFAULT now());
CREATE VIEW public.counted_twice AS SELECT a.n, b.v FROM public.counted AS a JOIN public.counted AS b USING (n);
INSERT INTO public.counted VALUES (1, 'a'), (2, 'b')
"""


def test_generation_is_proven_on_a_newer_major_version(server: EmbeddedStack, tmp_path: Path) -> None:
    require("postgres15")
    with stacks.embedded(tmp_path / "the state", embedded={"bin_dir": BINARIES["15"]}) as older:
        older.start_postgres()
        execute(older, "CREATE DATABASE {}", DATABASE)
        rows(older, SCHEMA, DATABASE)
        embedded = {"directory": str(older._layout.home), "bin_dir": str(BINARIES["15"])}
        site = Node(
            tmp_path / "a site",
            {
                "stack": {"kind": "embedded", "embedded": embedded, "postgres": {"database": DATABASE}},
                "backup": {"prefix": "node", "directory": "the backups", "compress": "1"},
                "drill": {"count_table": "public.counted"},
            },
        )
        back_up(site)
    source = find_source(site.settings.backup, "latest", Path("/"))
    proof = verify(server, source, site.settings.restore, Phases(Silent())).proof
    assert (proof.server_version.split(".")[0], proof.rows) == ("18", 2)
