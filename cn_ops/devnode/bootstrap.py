"""The bootstrap service: rewrites what it tells newcomers, with new identifiers, at every refresh.

The number of its rows is stable and their content never is, as with the real node: two readings that do not
share one snapshot differ on a healthy system.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cn_ops.devnode.database import APPLICATION_NAME, check_url, one_line
from cn_ops.devnode.environment import Address
from cn_ops.devnode.health import Health
from cn_ops.devnode.serve import configure_logging, end_on_sigterm, listen, serve

logger = logging.getLogger(__name__)

DESCRIPTOR_KIND = 39000
TOPIC_SERVICE_KIND = 39001
ROLES = ("relay", "bootstrap", "index", "moderation", "trust")
PEERS = 3
RETRY_SECONDS = 0.5
QUERY_SECONDS = 2.0
LOCK_KEY = 0x636E6273  # "cnbs": two services refresh one after the other


class Bootstrap:
    """The refreshing task and the health endpoint."""

    def __init__(self, url: str, topic: str, seconds: float) -> None:
        self._url = url
        self._topic = topic
        self._seconds = seconds
        self._health = Health("bootstrap")

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(routes=[Route("/healthz", self.healthz)], lifespan=self._lifespan)

    async def healthz(self, _: Request) -> Response:
        """Answer 200 when its rows are there."""
        try:
            async with asyncio.timeout(QUERY_SECONDS), await self._connect() as connection:
                found = await connection.execute("SELECT event_id FROM cn_bootstrap.events LIMIT 1")
                is_up = await found.fetchone() is not None
        except (psycopg.Error, TimeoutError):
            is_up = False
        return JSONResponse({"status": "ok"}) if is_up else JSONResponse({"status": "unavailable"}, 503)

    async def keep_refreshing(self) -> None:
        """Refresh for ever; while the database is away, try often."""
        while True:
            await asyncio.sleep(self._seconds if await self._try_refresh() else RETRY_SECONDS)

    async def _try_refresh(self) -> bool:
        try:
            async with await self._connect() as connection:
                await refresh(connection, self._topic, int(time.time()), self._seconds)
        except psycopg.Error as error:
            self._health.lost(one_line(error))
            return False
        self._health.found()
        return True

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(self._url, connect_timeout=2, fallback_application_name=APPLICATION_NAME)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self.keep_refreshing())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def refresh(connection: AsyncConnection[Any], topic: str, now: int, seconds: float) -> None:
    """Replace every row, within the connection's transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    await connection.execute("DELETE FROM cn_bootstrap.events")
    await connection.execute("DELETE FROM cn_bootstrap.peer_hints")
    expires_at = now + int(3 * seconds) + 1
    async with connection.cursor() as cursor:
        await cursor.executemany(
            'INSERT INTO cn_bootstrap.events (event_id, kind, d_tag, topic_id, "role", event_json, created_at,'
            " expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [_descriptor(now, expires_at), *(_topic_service(topic, role, now, expires_at) for role in ROLES)],
        )
        await cursor.executemany(
            "INSERT INTO cn_bootstrap.peer_hints (node_id, addresses) VALUES (%s, %s)",
            [(secrets.token_hex(32), Jsonb([f"127.0.0.1:{11220 + number}"])) for number in range(PEERS)],
        )


def _descriptor(now: int, expires_at: int) -> tuple[object, ...]:
    event_id = secrets.token_hex(32)
    document = {"id": event_id, "kind": DESCRIPTOR_KIND, "created_at": now, "roles": list(ROLES)}
    return (event_id, DESCRIPTOR_KIND, "descriptor", None, None, Jsonb(document), now, expires_at)


def _topic_service(topic: str, role: str, now: int, expires_at: int) -> tuple[object, ...]:
    event_id = secrets.token_hex(32)
    document = {"id": event_id, "kind": TOPIC_SERVICE_KIND, "created_at": now, "topic": topic, "role": role}
    name = f"topic_service:{topic}:{role}"
    return (event_id, TOPIC_SERVICE_KIND, name, topic, role, Jsonb(document), now, expires_at)


def run(url: str, address: Address, topic: str, seconds: float) -> None:
    """Refresh and serve until a signal."""
    end_on_sigterm()
    configure_logging()
    check_url(url)
    serve(Bootstrap(url, topic, seconds).application(), listen(address))
