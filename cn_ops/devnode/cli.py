"""`cn`: the demo node's commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from cn_ops.devnode import environment
from cn_ops.devnode.seed_events import FEWEST, MOST
from cn_ops.errors import ExitCode, OpsError
from cn_ops.masking import mask

DESCRIPTION = "A small, real community node, for recovery drills without the real images."
EPILOG = """\
environment:
  DATABASE_URL                    PostgreSQL URL; required
  USER_API_ADDR                   where user-api listens (default 127.0.0.1:8080)
  BOOTSTRAP_ADDR                  where bootstrap listens (default 127.0.0.1:8083)
  BOOTSTRAP_REFRESH_SECONDS       seconds between two refreshes (default 300)
  E2E_COMMUNITY_NODE_TOPIC_NAME   topic of the seeded events (default kukuri:e2e-alpha)

examples:
  export DATABASE_URL='postgresql://cn@127.0.0.1:5432/cn'
  cn user-api                     migrate, configure, and serve the API
  cn e2e seed                     nine events; prints E2E_SEED_JSON={...}
  cn e2e seed --events 1000000    a million of them
  cn e2e cleanup                  remove what the seed made, and only that

exit codes: 0 ok, 1 failed, 2 bad usage or environment, 3 no database
"""

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        command(options)
    except OpsError as error:
        hint = f" ({error.hint})" if error.hint else ""
        _say(f"cn: error: {mask(error.message)}{hint}")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cn", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add(commands, "migrate", "bring the database to this node's schema", _migrate)
    config = commands.add_parser("config", help="the node's configuration").add_subparsers(
        metavar="COMMAND", required=True
    )
    _add(config, "seed", "insert the first configuration where there is none", _config_seed)
    _add(commands, "user-api", "migrate, seed the configuration and serve the HTTP API", _user_api)
    _add(commands, "bootstrap", "rewrite the bootstrap rows at every refresh", _bootstrap)
    e2e = commands.add_parser("e2e", help="data for drills and end-to-end tests").add_subparsers(
        metavar="COMMAND", required=True
    )
    seed = _add(e2e, "seed", "put the seed in, in place of an earlier one; prints E2E_SEED_JSON={...}", _e2e_seed)
    seed.add_argument(
        "--events", type=_count, default=FEWEST, metavar="N", help=f"how many events in all (default {FEWEST})"
    )
    _add(e2e, "invite", "make an invite; prints E2E_INVITE_JSON={...}", _e2e_invite)
    _add(e2e, "cleanup", "remove what the seed made", _e2e_cleanup)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    command: Command,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=f"{name}: {summary}.")
    parser.set_defaults(command=command)
    return parser


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not FEWEST <= number <= MOST:
        raise argparse.ArgumentTypeError(f"must be from {FEWEST} to {MOST}, got {text!r}")
    return number


# What a command needs is imported when it runs: `cn --help` needs no driver and `cn e2e seed` no web server.


def _migrate(_: argparse.Namespace) -> None:
    from cn_ops.devnode.database import transaction
    from cn_ops.devnode.migrate import migrate

    with transaction(environment.database_url(os.environ)) as connection:
        applied = migrate(connection)
    _say(f"cn: {applied} migrations applied")


def _config_seed(_: argparse.Namespace) -> None:
    from cn_ops.devnode.config import seed_config
    from cn_ops.devnode.database import transaction

    with transaction(environment.database_url(os.environ)) as connection:
        made = seed_config(connection)
    _say(f"cn: {made} services configured")


def _user_api(_: argparse.Namespace) -> None:
    url, address = environment.database_url(os.environ), environment.user_api_address(os.environ)
    from cn_ops.devnode.user_api import run

    run(url, address)


def _bootstrap(_: argparse.Namespace) -> None:
    url, address = environment.database_url(os.environ), environment.bootstrap_address(os.environ)
    seconds, topic = environment.refresh_seconds(os.environ), environment.topic(os.environ)
    from cn_ops.devnode.bootstrap import run

    run(url, address, topic, seconds)


def _e2e_seed(options: argparse.Namespace) -> None:
    url, topic = environment.database_url(os.environ), environment.topic(os.environ)
    from cn_ops.devnode.database import transaction
    from cn_ops.devnode.seed import seed

    with transaction(url) as connection:
        made = seed(connection, topic, options.events)
    _say(f"cn: {options.events} events seeded on {topic}")
    _print_line("E2E_SEED_JSON", made)


def _e2e_invite(_: argparse.Namespace) -> None:
    url, topic = environment.database_url(os.environ), environment.topic(os.environ)
    from cn_ops.devnode.database import transaction
    from cn_ops.devnode.seed import invite

    with transaction(url) as connection:
        made = invite(connection, topic)
    _print_line("E2E_INVITE_JSON", made)


def _e2e_cleanup(_: argparse.Namespace) -> None:
    from cn_ops.devnode.database import transaction
    from cn_ops.devnode.seed import cleanup

    with transaction(environment.database_url(os.environ)) as connection:
        removed = cleanup(connection)
    _say(f"cn: {removed} rows removed")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _print_line(name: str, document: dict[str, object]) -> None:
    # ASCII only: the reader's locale is unknown, and may be C.
    sys.stdout.write(f"{name}={json.dumps(document, separators=(',', ':'))}\n")
    sys.stdout.flush()
