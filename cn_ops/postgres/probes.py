"""Probes: questions of the node's own, for what data alone cannot prove."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import psycopg

from cn_ops.fingerprint import Extension, Probe, ProbeAnswer

# Apache AGE keeps bare OIDs of namespaces in its catalogue: after a perfectly equal restore every graph query
# fails, until they are set right.
AGE = "age"
AGE_PROBE = Probe(
    "age: graphs lead to their namespaces",
    "SELECT count(*) FROM ag_catalog.ag_graph WHERE graphid <> namespace::oid",
    "0",
)
# The new number of one graph may be the old one of another, and both are unique: so all are set aside first, to the
# highest numbers that there are.
_ASIDE = "SELECT graphid, (4294967295 - row_number() OVER (ORDER BY graphid))::oid AS aside FROM ag_catalog.ag_graph"
AGE_REPAIR = f"""
ALTER TABLE ag_catalog.ag_label DROP CONSTRAINT IF EXISTS fk_graph_oid;
UPDATE ag_catalog.ag_label AS l SET graph = a.aside FROM ({_ASIDE}) AS a WHERE a.graphid = l.graph;
UPDATE ag_catalog.ag_graph AS g SET graphid = a.aside FROM ({_ASIDE}) AS a WHERE a.graphid = g.graphid;
UPDATE ag_catalog.ag_label AS l SET graph = g.namespace::oid FROM ag_catalog.ag_graph AS g WHERE g.graphid = l.graph;
UPDATE ag_catalog.ag_graph SET graphid = namespace::oid;
ALTER TABLE ag_catalog.ag_label
  ADD CONSTRAINT fk_graph_oid FOREIGN KEY (graph) REFERENCES ag_catalog.ag_graph (graphid)
"""  # noqa: S608 - constants only


def probes_of(installed: Sequence[Extension], given: Sequence[Probe]) -> tuple[Probe, ...]:
    """Return the built-in probes of the extensions that are there, unless they were given."""
    is_wanted = any(one.name == AGE for one in installed) and AGE_PROBE not in given
    return (AGE_PROBE,) if is_wanted else ()


def answers(connection: psycopg.Connection, probes: Sequence[Probe]) -> tuple[ProbeAnswer, ...]:
    """Ask every probe within the connection's transaction, which stays usable after an error."""
    return tuple(_answer(connection, probe) for probe in probes)


def repair(connection: psycopg.Connection) -> tuple[str, ...]:
    """Set right what extensions keep beside their data; return what was done."""
    installed = connection.execute("SELECT count(*) FROM pg_extension WHERE extname = %s", (AGE,)).fetchone()
    if not installed or not installed[0]:
        return ()
    with connection.transaction():
        connection.execute(AGE_REPAIR.encode())
    return ("age: graph identifiers",)


def _answer(connection: psycopg.Connection, probe: Probe) -> ProbeAnswer:
    try:
        with connection.transaction():
            rows = connection.execute(probe.query.encode()).fetchall()
    except psycopg.Error as error:
        return ProbeAnswer(probe, None, str(error).strip().splitlines()[0] if str(error).strip() else repr(error))
    return ProbeAnswer(probe, _text(rows), None)


def _text(rows: list[tuple[object, ...]]) -> str:
    """Return a number as it is, and anything else as a hash: a fingerprint holds no row."""
    if len(rows) == 1 and len(rows[0]) == 1 and isinstance(rows[0][0], int):
        return str(int(rows[0][0]))
    digest = hashlib.sha256(repr(rows).encode()).hexdigest()
    return f"{len(rows)} rows, sha256 {digest}"
