"""A node unlike the demo one: two services that write, a seed and a clean-up, in one file that starts at once.

Nothing in cn-ops may assume the demo node, and a drill of this one takes a second or two less. It is run as
`python ledger.py COMMAND`, with DATABASE_URL in the environment.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import signal
import sys
import threading
import time
from typing import Any

import psycopg

TICK_SECONDS = 0.1
SCHEMA = """
SELECT pg_advisory_xact_lock(7);
CREATE SCHEMA IF NOT EXISTS ledger;
CREATE TABLE IF NOT EXISTS ledger.entries (
    id bigint PRIMARY KEY, "window" text NOT NULL, amount numeric NOT NULL, body bytea NOT NULL);
CREATE TABLE IF NOT EXISTS ledger.clock (who text PRIMARY KEY, at timestamptz NOT NULL);
"""
SEED = """
INSERT INTO ledger.entries
SELECT n, 'ウィンドウ ' || n, n * 1.10, decode(repeat(md5(n::text), 8), 'hex') FROM generate_series(1, %s) AS n
ON CONFLICT (id) DO NOTHING
"""


def connect() -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, connect_timeout=5)


def prepare() -> None:
    with connect() as connection, connection.transaction():
        connection.execute(SCHEMA.encode())


def seed(events: int) -> None:
    prepare()
    with connect() as connection:
        connection.execute(SEED, (events,))
    sys.stdout.write(f"seeding\nE2E_SEED_JSON={json.dumps({'events': events})}\ndone\n")


def cleanup() -> None:
    with connect() as connection:
        connection.execute("TRUNCATE ledger.entries")


def tick(name: str) -> None:
    while True:
        try:
            with connect() as connection:
                while True:
                    connection.execute(
                        "INSERT INTO ledger.clock VALUES (%s, clock_timestamp())"
                        " ON CONFLICT (who) DO UPDATE SET at = excluded.at",
                        (name,),
                    )
                    time.sleep(TICK_SECONDS)
        except psycopg.Error:
            time.sleep(TICK_SECONDS)


def serve(name: str, port: int, *, ill: bool) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, body = self.answer()
            except psycopg.Error as error:
                status, body = 503, {"error": str(error)}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def answer(self) -> tuple[int, dict[str, Any]]:
            with connect() as connection:
                rows = connection.execute(
                    'SELECT id, "window", amount::text FROM ledger.entries ORDER BY id LIMIT 100'
                ).fetchall()
            return (503 if ill else 200), {"entries": rows if self.path.startswith("/entries") else []}

    prepare()
    threading.Thread(target=tick, args=(name,), daemon=True).start()
    sys.stdout.write(f"listening on {port}\n")
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve", "seed", "cleanup"])
    parser.add_argument("--name", default="ledger")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--events", type=int, default=9)
    parser.add_argument("--ill", action="store_true", help="never be healthy")
    parser.add_argument("--stubborn", action="store_true", help="do not obey SIGTERM")
    options = parser.parse_args()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.command == "serve":
        serve(options.name, options.port, ill=options.ill)
    elif options.command == "seed":
        seed(options.events)
    else:
        cleanup()


if __name__ == "__main__":
    main()
