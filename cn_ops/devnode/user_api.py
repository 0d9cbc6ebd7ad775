"""The user API: takes events, serves them, and says whether it can."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cn_ops.devnode import store
from cn_ops.devnode.config import seed_config
from cn_ops.devnode.database import APPLICATION_NAME, one_line, transaction
from cn_ops.devnode.environment import Address
from cn_ops.devnode.events import Event, InvalidEvent, parse_event
from cn_ops.devnode.health import Health
from cn_ops.devnode.metrics import CONTENT_TYPE, Metrics
from cn_ops.devnode.migrate import migrate
from cn_ops.devnode.query import InvalidQuery, parse_query
from cn_ops.devnode.serve import configure_logging, end_on_sigterm, listen, serve

logger = logging.getLogger(__name__)

LARGEST_BODY = 1 << 20
LARGEST_POOL = 8
# How long a request waits for a connection, and how long one attempt to connect lasts. A pool that has given
# up tries again at the next request: that is what makes it recover as soon as the database is back.
POOL_SECONDS = 1.0
RECONNECT_SECONDS = 0.5
HEALTH_SECONDS = 2.0

Endpoint = Callable[[Request], Awaitable[Response]]


class UserApi:
    """The endpoints, with the pool and the counters that they share."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.health = Health("user-api")
        self._url = url
        self.pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=LARGEST_POOL,
            timeout=POOL_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            # A connection to a database that was dropped, or to a server that was restarted, is thrown away.
            check=AsyncConnectionPool.check_connection,
            kwargs={"fallback_application_name": APPLICATION_NAME, "connect_timeout": 2},
            open=False,
        )

    def application(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            self._route("/healthz", self.healthz, "GET"),
            self._route("/metrics", self.show_metrics, "GET"),
            self._route("/v1/events", self.get_events, "GET"),
            self._route("/v1/events", self.post_event, "POST"),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    async def healthz(self, _: Request) -> Response:
        """Answer 200 when the events can be read."""
        if await self._is_up():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable"}, 503)

    async def show_metrics(self, _: Request) -> Response:
        """Answer the counters, with or without a database."""
        return PlainTextResponse(self.metrics.text(is_up=await self._is_up()), media_type=CONTENT_TYPE)

    async def get_events(self, request: Request) -> Response:
        """Answer events, the oldest first."""
        try:
            query = parse_query(request.query_params.multi_items())
        except InvalidQuery as error:
            return _refused(400, "invalid query", error.problems)
        async with self.pool.connection() as connection:
            events = await store.list_events(connection, query)
        return JSONResponse({"events": events, "count": len(events)})

    async def post_event(self, request: Request) -> Response:
        """Keep an event: 201, or 409 when it is there already."""
        body = await _body(request)
        if body is None:
            return _refused(413, "body too large", [f"at most {LARGEST_BODY} bytes"])
        try:
            event = parse_event(json.loads(body), int(time.time()))
        except InvalidEvent as error:
            return _refused(400, "invalid event", error.problems)
        except (ValueError, RecursionError):
            return _refused(400, "invalid JSON", ["the body must be one JSON object"])
        if not await self._keep(event):
            return _refused(409, "duplicate event", [f"{event.event_id} is there already"])
        self.metrics.count_event()
        return JSONResponse({"event_id": event.event_id, "topics": list(event.topics)}, 201)

    async def _keep(self, event: Event) -> bool:
        async with self.pool.connection() as connection:
            return await store.insert_event(connection, event)

    async def _is_up(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS), self.pool.connection() as connection:
                # The table that everything else needs, not `SELECT 1`: an empty database is not healthy.
                await connection.execute("SELECT event_id FROM cn_relay.events LIMIT 1")
        except (psycopg.Error, TimeoutError) as error:
            await self._lost(error)
            return False
        self.health.found()
        return True

    async def _lost(self, error: Exception) -> None:
        """Note that the database cannot be used, and once in each outage why."""
        if self.health.is_lost:
            return
        if isinstance(error, (PoolTimeout, TimeoutError)):
            # The pool knows only that it had no connection; the database says what is the matter.
            error = await self._reason() or error
        self.health.lost(one_line(error))

    async def _reason(self) -> psycopg.Error | None:
        try:
            async with await psycopg.AsyncConnection.connect(self._url, connect_timeout=2):
                return None
        except psycopg.Error as error:
            return error

    def _route(self, path: str, endpoint: Endpoint, method: str) -> Route:
        async def counted(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except (psycopg.OperationalError, PoolTimeout, psycopg.errors.UndefinedTable) as error:
                await self._lost(error)
                response = _refused(503, "unavailable", ["the database cannot be used"])
            except ClientDisconnect:
                response = _refused(400, "incomplete", ["the client went away"])
            except asyncio.CancelledError:
                # The server is stopping and this request has outlived the grace time: it ends here anyway.
                response = _refused(503, "unavailable", ["the node is stopping"])
            self.metrics.count_request(request.method, path, response.status_code)
            return response

        return Route(path, counted, methods=[method])

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.pool.open()
        try:
            yield
        finally:
            await self.pool.close(timeout=0.5)


def run(url: str, address: Address) -> None:
    """Migrate, seed the configuration and serve until a signal."""
    end_on_sigterm()
    configure_logging()
    listening = listen(address)
    with transaction(url) as connection:
        migrate(connection)
        seed_config(connection)
    serve(UserApi(url).application(), listening)


async def _body(request: Request) -> bytes | None:
    """Return the request's body, or None when it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


def _refused(status: int, error: str, problems: list[str]) -> JSONResponse:
    return JSONResponse({"error": error, "problems": problems}, status)
