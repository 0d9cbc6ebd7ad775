"""Damage done on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cn_ops.postgres.session import qualified


def truncate(connection: psycopg.Connection, tables: Sequence[str]) -> None:
    """Empty tables, and whatever refers to them."""
    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(map(qualified, tables))))
