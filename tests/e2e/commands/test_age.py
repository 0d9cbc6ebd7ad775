"""Apache AGE keeps numbers of namespaces in its catalogue: graphs that come back must lead to their own again.

AGE 1.5.0, which Debian has, answers either way; others do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cn_ops.postgres import probes
from tests.e2e.commands.node import Node
from tests.support.capabilities import require

LOADED = "LOAD 'age'; SET search_path = ag_catalog, \"$user\", public;"
GRAPHS = ("trust", "routes")
KNOWN = "MATCH (a)-[k:KNOWS]->(b) RETURN a.name, k.since, b.name"
# As it is when one graph's namespace has the number that was another graph's before.
CROSSED = """
ALTER TABLE ag_label DROP CONSTRAINT fk_graph_oid;
UPDATE ag_label SET graph = 7 WHERE graph = {second};
UPDATE ag_graph SET graphid = 7 WHERE name = 'routes';
UPDATE ag_label SET graph = {second} WHERE graph = {first};
UPDATE ag_graph SET graphid = {second} WHERE name = 'trust'
"""


def cypher(node: Node, graph: str, query: str, database: str | None = None) -> str:
    columns = "x agtype" if "RETURN x" in query else "a agtype, k agtype, b agtype"
    return node.sql(f"{LOADED} SELECT * FROM cypher('{graph}', $$ {query} $$) AS ({columns})", database)


@pytest.fixture(scope="module")
def graphs(shared_other: Node) -> Iterator[Node]:
    """The shared node with two graphs, each with two people who know each other."""
    require("apache-age")
    shared_other.sql("CREATE EXTENSION age")
    for graph in GRAPHS:
        shared_other.sql(f"{LOADED} SELECT create_graph('{graph}')")
        cypher(
            shared_other,
            graph,
            f"CREATE (x:Person {{name: '{graph} A'}})-[:KNOWS {{since: 2020}}]->(:Person {{name: 'B'}}) RETURN x",
        )
    yield shared_other
    shared_other.sql("DROP EXTENSION age CASCADE")


def knows(node: Node, graph: str, database: str | None = None) -> bool:
    return cypher(node, graph, KNOWN, database) == f'"{graph} A"|2020|"B"'


def test_graphs_answer_after_a_restore_and_a_proof(graphs: Node) -> None:
    graphs.inv("backup").ok()
    graphs.inv("restore", "--dump=latest", "--yes").ok()
    assert all(knows(graphs, one) for one in GRAPHS)
    cypher(graphs, "trust", "CREATE (x:Newcomer {name: 'C'}) RETURN x")
    graphs.inv("restore", "--undo", "--yes").ok()
    graphs.inv("restore", "--finish", "--yes").ok()
    assert "equal" in graphs.inv("verify").ok().text


def test_restore_by_hand_leaves_graphs_with_old_numbers_and_the_comparison_says_so(graphs: Node) -> None:
    graphs.inv("backup").ok()
    graphs.sql('CREATE DATABASE "by hand"')
    try:
        graphs.compose(
            *("exec", "-T", graphs.server, "sh", "-ec"),
            f"pg_dump -U keeper -Fc {graphs.database} | pg_restore -U keeper -d 'by hand'",
        )
        compared = graphs.inv("compare", "--dump=latest", "--database=by hand")
        assert compared.code == 4, compared.text
        assert probes.AGE_PROBE.name in compared.text
        graphs.sql(f"BEGIN; {probes.AGE_REPAIR}; COMMIT", "by hand")
        assert "equal" in graphs.inv("compare", "--dump=latest", "--database=by hand").ok().text
        assert all(knows(graphs, one, "by hand") for one in GRAPHS)
    finally:
        graphs.sql('DROP DATABASE "by hand"')


def test_repair_gets_by_with_a_number_that_was_another_graphs(graphs: Node) -> None:
    first, second = (
        graphs.sql(f"SELECT namespace::oid FROM ag_catalog.ag_graph WHERE name = '{one}'") for one in GRAPHS
    )
    graphs.sql(f"{LOADED} BEGIN; {CROSSED.format(first=first, second=second)}; COMMIT")
    graphs.sql(f"BEGIN; {probes.AGE_REPAIR}; COMMIT")
    assert all(knows(graphs, one) for one in GRAPHS)
    assert graphs.sql("SELECT count(*) FROM ag_catalog.ag_graph WHERE graphid <> namespace::oid") == "0"
