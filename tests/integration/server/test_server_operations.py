"""Backup, verify, compare, restore and drill on a server that is not ours, as a role that is no superuser."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from cn_ops.drill_phases import DrillOptions, require_disposable, require_possible
from cn_ops.errors import ExitCode, MissingError, OpsError, UsageError
from cn_ops.phases import Phases, Silent
from cn_ops.replacement import plan_recreation
from cn_ops.restore import restore, undo_restore
from cn_ops.source import Source, find_source
from cn_ops.verify import verify
from tests.support.nodes import content
from tests.support.operations import back_up, bring_back, heal_it, tells_everything
from tests.support.processes import wait_until
from tests.support.tcp_server import ADMINISTRATOR, APPLICATION, PASSWORD, TENANT, ServerSite, TcpServer

from .conftest import NewSite, Tools

DAMAGE = "DROP SCHEMA cn_relay CASCADE; CREATE TABLE public.stranger (n int)"
OLDER, NEWER = "15.2", "99.1"
# The other tools stay as they are.
SAYS_VERSION = 'case $1 in --version) echo "it (PostgreSQL) {version}"; exit;; esac; exec {real} "$@"'


def says(version: str) -> str:
    return SAYS_VERSION.replace("{version}", version)


@contextmanager
def somebody(tcp: TcpServer, site: ServerSite, role: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session of another role in the live database."""
    with tcp.connected(site.database, role) as connection:
        yield connection


def test_everything_comes_back_beside_and_is_swapped_and_undone(site: ServerSite) -> None:
    before = site.content()
    made = back_up(site)
    site.rows(DAMAGE)
    damaged = site.content()
    result = bring_back(site)
    assert (result.generation, site.content()) == (made.generation.id, before)
    assert result.previous is not None
    assert content(site.stack, result.previous) == damaged
    with site.operation("restore --undo") as operation:
        undo_restore(operation)
    assert (site.content(), site.journal) == (damaged, None)


def test_database_that_is_gone_comes_back(site: ServerSite, tcp: TcpServer) -> None:
    before = site.content()
    back_up(site)
    tcp.execute("DROP DATABASE {} WITH (FORCE)", site.database)
    bring_back(site)
    assert site.content() == before


def test_restore_that_drops_first_works_too(new_site: NewSite) -> None:
    site = new_site(restore={"strategy": "recreate"})
    before = site.content()
    back_up(site)
    site.rows(DAMAGE)
    bring_back(site)
    assert site.content() == before


@pytest.mark.parametrize("commands", [{}, {"stop": ["true"], "start": ["true"]}], ids=["none", "stopped"])
def test_damage_on_record_is_not_restored_over_what_somebody_may_have_written(
    commands: dict[str, list[str]], new_site: NewSite
) -> None:
    """No writer is known here, or whether it was started by hand."""
    site = new_site(restore={"strategy": "recreate"}, stack={"server": commands})
    made = back_up(site)
    if commands:
        site.stack.stop(site.stack.writers)
    with site.operation("restore") as operation:
        plan = plan_recreation(operation, Source(made.dump, made.generation), made.manifest.sha256)
        operation.intend(recreating=replace(plan, damaged=True))
    site.rows("CREATE TABLE public.precious (n int)")
    before = site.content()
    for command in ("heal", "backup"):
        refused = site.run(command)
        assert refused.returncode == ExitCode.FAILED
        assert "somebody may have" in refused.stderr
        assert "nothing was changed" in refused.stderr
        assert site.content() == before
    if commands:
        site.stack.start(site.stack.writers)
    site.ok("restore", "--dump=latest", "--yes")
    assert "public.precious" not in site.content()
    assert site.journal is None


def test_restore_killed_once_the_old_database_is_dropped_is_finished(new_site: NewSite, tcp: TcpServer) -> None:
    """Nobody can have written to a database that is not there."""
    site = new_site(restore={"strategy": "recreate"})
    before = site.content()
    made = back_up(site)
    with site.operation("restore") as operation:
        plan = plan_recreation(operation, Source(made.dump, made.generation), made.manifest.sha256)
        operation.intend(recreating=plan)
    tcp.execute("DROP DATABASE {} WITH (FORCE)", site.database)
    site.ok("heal")
    assert (site.content(), site.journal) == (before, None)


@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_live_database_of_an_owner_that_this_role_may_not_act_as_is_refused_before_anything_is_touched(
    strategy: str, new_site: NewSite, tcp: TcpServer
) -> None:
    site = new_site(restore={"strategy": strategy})
    before = site.content()
    back_up(site)
    tcp.execute("ALTER DATABASE {} OWNER TO {}", site.database, ADMINISTRATOR)
    tcp.execute("GRANT CONNECT ON DATABASE {} TO PUBLIC", site.database)
    with pytest.raises(UsageError, match=f"may not act as '{ADMINISTRATOR}'") as refused:
        bring_back(site)
    assert tells_everything(refused.value)
    assert site.journal is None
    assert f"may not act as '{ADMINISTRATOR}'" in " ".join(site.run("doctor").stdout.split())
    tcp.execute("ALTER DATABASE {} OWNER TO {}", site.database, TENANT)
    assert site.content() == before


def test_restore_that_fails_says_nothing_of_writers_that_nobody_knows(new_site: NewSite, tools: Tools) -> None:
    site = new_site(restore={"strategy": "recreate"})
    back_up(site)
    tools(site, pg_restore='case "$*" in *--exit-on-error*) echo broken >&2; exit 1;; esac; exec {real} "$@"')
    with pytest.raises(OpsError) as failed:
        bring_back(site)
    assert f"the database {site.database!r} is not there; `inv heal` restores it" in failed.value.state


def test_generation_is_proven_in_a_server_of_this_machine(site: ServerSite) -> None:
    made = back_up(site)
    phases = Phases(Silent())
    proven = verify(
        site.stack, find_source(site.settings.backup, "latest", site.folder), site.settings.restore, phases
    )
    assert proven.proof.rows == made.manifest.rows
    assert made.generation.proof_file.exists()


def test_roles_of_an_ordinary_role_are_dumped_without_passwords_and_that_is_said(site: ServerSite) -> None:
    made = back_up(site)
    assert any("without their passwords" in one for one in made.warnings)
    text = (site.backups / str(made.manifest.globals_file)).read_text()
    assert f"CREATE ROLE {APPLICATION};" in text
    assert "PASSWORD" not in text


def test_roles_of_a_superuser_are_dumped_with_their_hashes(site: ServerSite, tcp: TcpServer) -> None:
    site.change({"stack": {"server": {"dsn": tcp.dsn(site.database, ADMINISTRATOR)}}})
    made = back_up(site)
    assert "SCRAM-SHA-256" in (site.backups / str(made.manifest.globals_file)).read_text()
    assert made.warnings == ()


def test_subscriptions_that_pg_dump_leaves_out_are_named(site: ServerSite, tcp: TcpServer) -> None:
    statement = "CREATE SUBSCRIPTION {} CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)"
    tcp.execute(statement, "the feed", database=site.database)
    try:
        assert any("make the feed again" in one for one in back_up(site).warnings)
    finally:
        for change in ("ALTER SUBSCRIPTION {} SET (slot_name = NONE)", "DROP SUBSCRIPTION {}"):
            tcp.execute(change, "the feed", database=site.database)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE TABLE public.secret (n int)", "secret"),
        ("SELECT lo_from_bytea(4242, 'x')", "4242"),
        (
            "CREATE TABLE public.hidden (n int); ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY;"
            " GRANT SELECT ON public.hidden TO tenant",
            "hidden",
        ),
    ],
    ids=["table", "large object", "hidden rows"],
)
def test_what_the_role_may_not_read_fails_the_backup_and_is_named(
    made: str, named: str, site: ServerSite, tcp: TcpServer
) -> None:
    tcp.execute(made, database=site.database)
    with pytest.raises(OpsError) as failed:
        back_up(site)
    assert named in failed.value.evidence
    assert site.backup_files() == set()


def test_space_that_is_not_known_is_said_and_so_is_that_nothing_is_stopped(site: ServerSite) -> None:
    back_up(site)
    warnings = bring_back(site).warnings
    assert any("free space of the server is not known" in one for one in warnings)
    assert any("no service is stopped" in one for one in warnings)


def test_writers_are_stopped_for_the_swap_and_started_afterwards(new_site: NewSite, tmp_path: Path) -> None:
    said = tmp_path / "said"
    say = {word: ["sh", "-c", f"echo {word} >> '{said}'"] for word in ("stop", "start")}
    site = new_site(stack={"server": say})
    back_up(site)
    result = bring_back(site)
    assert said.read_text().split() == ["stop", "start"]
    assert result.restarted == ("writers",)
    assert not any("no service" in one for one in result.warnings)


def test_writers_that_a_killed_command_stopped_are_started_by_the_next(new_site: NewSite, tmp_path: Path) -> None:
    said = tmp_path / "said"
    say = {word: ["sh", "-c", f"echo {word} >> '{said}'"] for word in ("stop", "start")}
    site = new_site(stack={"server": say})
    with site.operation("restore") as operation:
        operation.intend(stopped=site.stack.writers)
        site.stack.stop(site.stack.writers)
    assert heal_it(site)
    assert said.read_text().split() == ["stop", "start"]
    assert (site.journal, site.stack.running()) == (None, ("server", "writers"))


@pytest.mark.parametrize("role", [APPLICATION, ADMINISTRATOR])
def test_session_that_may_not_be_ended_refuses_the_swap_and_changes_nothing(
    role: str, site: ServerSite, tcp: TcpServer
) -> None:
    back_up(site)
    site.rows("DELETE FROM cn_relay.events_outbox")
    before = site.content()
    with somebody(tcp, site, role) as connection:
        with pytest.raises(UsageError, match=f"may not end the sessions of {role}") as failed:
            bring_back(site)
        assert connection.execute("select 1").fetchall() == [(1,)]
    assert tells_everything(failed.value)
    assert "is as it was" in failed.value.state
    assert (site.content(), site.journal) == (before, None)
    assert tcp.execute("SELECT datname FROM pg_database WHERE datname LIKE 'site%incoming%'") == []


def test_session_is_ended_by_one_who_may_signal_backends(site: ServerSite, tcp: TcpServer) -> None:
    before = site.content()
    tcp.execute("GRANT pg_signal_backend TO {}", "tenant")
    try:
        back_up(site)
        with somebody(tcp, site, APPLICATION) as connection:
            bring_back(site)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
    finally:
        tcp.execute("REVOKE pg_signal_backend FROM {}", "tenant")
    assert site.content() == before


def test_role_that_may_not_create_databases_is_told_so_before_anything_happens(
    site: ServerSite, tcp: TcpServer
) -> None:
    back_up(site)
    before = site.content()
    tcp.execute("ALTER ROLE tenant NOCREATEDB")
    try:
        with pytest.raises(UsageError, match="'tenant' may not create databases") as failed:
            bring_back(site)
    finally:
        tcp.execute("ALTER ROLE tenant CREATEDB")
    assert tells_everything(failed.value)
    assert site.content() == before


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"password": "wrong"}, UsageError, "refuses the password of role 'tenant'"),
        ({"user": "nobody"}, UsageError, "refuses the password of role 'nobody'"),
        ({"database": "no such database"}, MissingError, "has no database 'no such database'"),
        ({"port": "1"}, MissingError, "no server answers"),
        ({"host": "no.such.host.invalid"}, MissingError, "host name is not known"),
    ],
    ids=["password", "role", "database", "port", "host"],
)
def test_server_that_lets_nobody_in_is_named_with_the_way_out(
    change: dict[str, str], kind: type[OpsError], message: str, site: ServerSite, tcp: TcpServer
) -> None:
    place = {"database": site.database, "user": "tenant", "password": PASSWORD, **change}
    dsn = tcp.dsn(place["database"], place["user"], place["password"])
    dsn = dsn.replace(f":{tcp.port}/", f":{place.get('port', tcp.port)}/")
    site.change({"stack": {"server": {"dsn": dsn.replace("127.0.0.1", place.get("host", "127.0.0.1"))}}})
    with pytest.raises(kind, match=message) as failed:
        back_up(site)
    assert failed.value.hint
    assert PASSWORD not in f"{failed.value.message}{failed.value.evidence}{failed.value.hint}"
    assert site.backup_files() == set()


def test_older_pg_dump_is_refused_before_it_dumps(site: ServerSite, tools: Tools) -> None:
    tools(site, pg_dump=says(OLDER))
    with pytest.raises(MissingError, match=rf"/pg_dump is of version {OLDER}, and the server is 1\d") as failed:
        back_up(site)
    assert "apt-get install postgresql-client-1" in failed.value.hint
    assert "stack.server.bin_dir" in failed.value.hint
    assert "--force-version" not in failed.value.hint
    assert site.backup_files() == set()


def test_newer_tools_dump_and_restore_only_when_forced(site: ServerSite, tools: Tools) -> None:
    tools(site, **dict.fromkeys(("pg_dump", "pg_dumpall", "pg_restore", "psql"), says(NEWER)))
    before = site.content()
    assert back_up(site).manifest.tool_version != NEWER, "a manifest says who wrote the dump, not what a tool claims"
    site.rows(DAMAGE)
    damaged = site.content()
    with pytest.raises(MissingError, match=f"is of version {NEWER}") as failed:
        bring_back(site)
    assert "--force-version" in failed.value.hint
    assert site.content() == damaged
    with site.operation("restore") as operation:
        restore(operation, "latest", site.folder, lambda _: None, force_version=True)
    assert site.content() == before


def test_older_tools_never_restore(site: ServerSite, tools: Tools) -> None:
    back_up(site)
    tools(site, pg_restore=says(OLDER))
    with site.operation("restore") as operation, pytest.raises(MissingError, match=OLDER):
        restore(operation, "latest", site.folder, lambda _: None, force_version=True)


def test_tools_that_are_not_there_are_named(site: ServerSite, tmp_path: Path) -> None:
    site.change({"stack": {"server": {"bin_dir": str(tmp_path)}}})
    with pytest.raises(MissingError, match="pg_dump is not in") as failed:
        site.stack.preflight()
    assert tells_everything(failed.value)


def test_no_password_is_in_any_argument_while_a_dump_runs_nor_in_what_is_written(
    site: ServerSite, tools: Tools, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    held = f"case $1 in --version) exec {{real}} $1;; esac; while ! [ -e '{go}' ]; do sleep 0.02; done; "
    ours = tools(site, pg_dump=held + 'exec {real} "$@"') / "pg_dump"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(site.ok, "backup")
        try:
            # Others dump on this machine as well.
            wait_until(lambda: any(f"{ours} " in one and "--snapshot" in one for one in command_lines()), 30)
            seen = command_lines()
        finally:
            go.touch()
        running.result(60)
    assert any(str(ours) in one for one in seen)
    (site.folder / "cn_ops.yaml").rename(tmp_path / "settings")
    written = [path for path in site.folder.rglob("*") if path.is_file()]
    assert len(written) > 4
    for secret in (PASSWORD, site.server.dsn("x").partition("tenant:")[2].partition("@")[0]):
        assert not any(secret in one for one in seen)
        assert not any(secret.encode() in path.read_bytes() for path in written)


def test_commands_show_no_password_and_say_what_they_cannot_do(site: ServerSite) -> None:
    shown = site.ok("config") + site.ok("config", "--json") + site.ok("stack.status")
    assert site.json("stack.status")["services"][0]["running"] is True
    for command, code in (("stack.up", 2), ("stack.down", 2), ("drill", 2)):
        done = site.run(command)
        assert done.returncode == code, done.stderr
        shown += done.stdout + done.stderr
    assert "was not started by cn-ops" in shown
    assert "not disposable" in shown
    assert PASSWORD not in shown
    assert "log_directory" in site.ok("stack.logs")


def test_compare_reaches_any_server(site: ServerSite, new_site: NewSite) -> None:
    back_up(site)
    site.ok("compare")
    dsn = site.server.dsn(site.database)
    done = site.run("compare", f"--dsn={dsn}")
    assert done.returncode == 0, done.stderr
    assert "can read the password" in done.stderr
    other = new_site()
    other.rows("DELETE FROM cn_relay.events_outbox")
    done = site.run("compare", f"--dsn={other.server.dsn(other.database)}")
    assert done.returncode == 4
    assert "table cn_relay.events_outbox" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    for bad in (["--dsn=nonsense"], [f"--dsn={dsn}", "--database=x"]):
        assert site.run("compare", *bad).returncode == 2


def test_drill_is_refused_unless_the_server_is_disposable_and_then_passes(new_site: NewSite) -> None:
    site = new_site(stack={"disposable": True})
    site.ok("drill", "--no-build", timeout=120)
    summary = site.summary()
    assert (summary["status"], summary["stack"]) == ("passed", "server")
    skipped = {one["name"] for one in summary["phases"] if one["status"] == "skipped"}
    assert skipped == {"healthy", "verify application"}
    assert summary["after_restore_event_count"] == summary["baseline_event_count"] > 0


@pytest.mark.parametrize("scenario", ["lost-volume", "killed-dumping", "killed-restoring", "full-restoring"])
def test_scenario_that_takes_what_is_not_its_own_is_refused(scenario: str, new_site: NewSite) -> None:
    site = new_site(stack={"disposable": True})
    done = site.run("drill", f"--scenario={scenario}")
    assert done.returncode == ExitCode.MISSING
    assert f"the scenario '{scenario}' cannot be tried here" in done.stderr
    assert "nothing was started or changed" in done.stderr


def test_drill_on_a_server_that_is_not_disposable_touches_nothing(site: ServerSite) -> None:
    before = site.content()
    with site.operation("drill") as operation:
        operation = type(operation)(**{**vars(operation), "disposable": False})
        with pytest.raises(UsageError, match="not disposable"):
            require_disposable(operation)
    assert site.content() == before


def test_detection_is_not_proven_by_one_who_is_no_superuser(site: ServerSite) -> None:
    options = DrillOptions(prove_detection=True)
    with site.operation("drill") as operation:
        with pytest.raises(UsageError, match="needs a superuser") as failed:
            require_possible(operation, options)
        assert tells_everything(failed.value)


def command_lines() -> list[str]:
    """Return the arguments of every process of this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
