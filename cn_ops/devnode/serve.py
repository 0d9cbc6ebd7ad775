"""Serve an application until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from cn_ops.devnode.environment import Address
from cn_ops.errors import OperationFailed
from cn_ops.masking import MaskingFormatter

logger = logging.getLogger(__name__)

# After a signal, requests under way have this long to end; kept-alive connections are closed at once.
GRACE_SECONDS = 1
# libraries whose every retry is not news: the services say once that the database is gone
QUIET = {"uvicorn": logging.WARNING, "psycopg.pool": logging.CRITICAL, "psycopg": logging.ERROR}


def configure_logging() -> None:
    """Send the log to stderr, in UTC, without secrets."""
    formatter = MaskingFormatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def listen(address: Address) -> socket.socket:
    """Return a listening socket; raises ``OperationFailed`` when the address cannot be had."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address.host, address.port), family=family, backlog=512)
    except OSError as error:
        raise OperationFailed(f"cannot listen on {address}: {error.strerror or error}") from error


def serve(application: Starlette, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    name = listening.getsockname()
    logger.info("listening on %s", Address(name[0], name[1]))
    server.run(sockets=[listening])
    if not server.started:
        raise OperationFailed("the service did not start; its log says why")


def end_on_sigterm() -> None:
    """Make SIGTERM a clean end, also before the server takes over and after it hands back."""
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
