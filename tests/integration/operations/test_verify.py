"""A generation is proven in a server of its own; the live one is not touched, and nothing stays behind."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from cn_ops.errors import ExitCode, MissingError, OperationFailed, OpsError, UsageError, VerificationFailed
from cn_ops.files import lock
from cn_ops.generations import read_catalogue, remove_generation
from cn_ops.model import Generation, GenerationState, VerifyResult
from cn_ops.operation import verify_lock_path
from cn_ops.phases import Phases, Silent
from cn_ops.source import find_source
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.verify import verify
from tests.support import kill_at
from tests.support.nodes import Node
from tests.support.operations import Tools, back_up, execute, tells_everything
from tests.support.processes import wait_until

NewSite = Any


def verify_it(site: Node, dump: str = "latest") -> VerifyResult:
    source = find_source(site.settings.backup, dump, site.folder)
    return verify(site.stack, source, site.settings.restore, Phases(Silent()))


def only(site: Node) -> Generation:
    (one,) = read_catalogue(site.backups, "node").generations
    return one


def flip(dump: Path, place: float) -> None:
    """Flip one bit of a dump, at a share of its length."""
    content = bytearray(dump.read_bytes())
    content[int(len(content) * place)] ^= 1
    dump.write_bytes(content)


def scratch_home(site: Node) -> Path:
    home = site.stack._layout.home
    return home.with_name(f"{home.name}-scratch")


def scratch_servers(site: Node) -> list[int]:
    """Return the processes of servers that are not the site's own."""
    data = str(site.stack._layout.data)
    marks = {str(one) for one in (scratch_home(site), EmbeddedStack(_scratch_settings(site))._layout.data)}
    found = []
    for one in psutil.process_iter(["pid", "cwd", "name"]):
        cwd = one.info["cwd"] or ""
        if one.info["name"] == "postgres" and cwd != data and any(cwd.startswith(mark) for mark in marks):
            found.append(one.info["pid"])
    return found


def _scratch_settings(site: Node) -> Any:
    embedded = site.settings.stack.embedded.model_copy(update={"directory": scratch_home(site)})
    return site.settings.model_copy(update={"stack": site.settings.stack.model_copy(update={"embedded": embedded})})


@pytest.fixture
def proven(site: Node) -> Iterator[Node]:
    """A site with one generation; no scratch server is there afterwards."""
    back_up(site)
    yield site
    assert scratch_servers(site) == []
    assert not scratch_home(site).exists()


def test_generation_that_comes_back_is_proven_and_that_is_on_record(proven: Node) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = verify_it(proven)
    one = only(proven)
    assert one.state is GenerationState.PROVEN
    assert one.proof == result.proof
    assert one.manifest
    assert (result.proof.sha256, result.proof.rows) == (one.manifest.sha256, one.manifest.rows)
    assert result.proof.tables > 20
    assert before <= datetime.fromisoformat(result.proof.proven_at) <= datetime.now(UTC)
    assert stat.S_IMODE(one.proof_file.stat().st_mode) == 0o600


def test_live_server_is_not_needed_and_not_started(proven: Node) -> None:
    """What does not run cannot be touched."""
    server = proven.settings.stack.postgres.service
    proven.stack.stop([server])
    try:
        verify_it(proven)
        assert proven.stack.running() == ()
    finally:
        proven.stack.start_postgres()


@pytest.fixture
def no_autovacuum(proven: Node) -> Iterator[None]:
    """It writes statistics into any database, whenever it likes."""

    def turn(how: str) -> None:
        proven.rows(f"ALTER SYSTEM {how}", "postgres")
        proven.rows("SELECT pg_reload_conf()", "postgres")

    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%'"
    turn("SET autovacuum = off")
    wait_until(lambda: proven.rows(busy, "postgres") == [(0,)], 60)
    yield
    turn("RESET autovacuum")


@pytest.mark.usefixtures("no_autovacuum")
def test_live_database_is_not_touched(proven: Node) -> None:
    def changed() -> list[tuple[Any, ...]]:
        return proven.rows(
            "SELECT datname::text, oid::int, datallowconn, tup_inserted + tup_updated + tup_deleted"
            " FROM pg_stat_database JOIN pg_database USING (datname) WHERE datname <> 'postgres' ORDER BY 1",
            "postgres",
        )

    before = changed()
    verify_it(proven)
    assert changed() == before


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_dump_with_one_bit_flipped_is_not_proven(place: float, proven: Node) -> None:
    flip(only(proven).dump, place)
    with pytest.raises(OpsError) as failed:
        verify_it(proven)
    assert failed.value.exit_code is ExitCode.NOT_EQUAL
    assert tells_everything(failed.value)
    assert only(proven).state is GenerationState.COMPLETE


@pytest.mark.parametrize("part", ["hash", "rows"])
def test_dump_that_is_not_what_the_manifest_says_is_not_proven(part: str, proven: Node) -> None:
    path = only(proven).manifest_file
    document = json.loads(path.read_text())
    for table in document["fingerprint"]["tables"]:
        if table["name"] == "cn_relay.events":
            table[part] = "0" * 32 if part == "hash" else table[part] + 1
    path.write_text(json.dumps(document))
    with pytest.raises(VerificationFailed) as failed:
        verify_it(proven)
    assert "table cn_relay.events" in failed.value.evidence
    assert tells_everything(failed.value)
    assert only(proven).state is GenerationState.COMPLETE


def test_generation_that_was_proven_and_is_changed_afterwards_is_proven_no_more(proven: Node) -> None:
    verify_it(proven)
    path = only(proven).manifest_file
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "sha256": "0" * 64}))
    assert only(proven).state is GenerationState.COMPLETE


def test_generation_that_was_proven_and_fails_later_is_proven_no_more(proven: Node) -> None:
    verify_it(proven)
    generation = only(proven)
    assert generation.state is GenerationState.PROVEN
    flip(generation.dump, 0.5)
    with pytest.raises(VerificationFailed):
        verify_it(proven)
    assert not generation.proof_file.exists()


@pytest.mark.parametrize("change", ["gone", "empty", "a folder"])
def test_generation_whose_roles_are_gone_is_proven_no_more(change: str, proven: Node) -> None:
    verify_it(proven)
    (script,) = proven.backups.glob("*.globals.sql")
    if change == "gone":
        script.unlink()
        assert only(proven).state is GenerationState.COMPLETE
    elif change == "a folder":
        script.unlink()
        script.mkdir()
    else:
        script.write_text("")
    with pytest.raises(VerificationFailed, match="is gone or has changed") as failed:
        verify_it(proven)
    assert tells_everything(failed.value)
    assert only(proven).state is GenerationState.COMPLETE


def test_full_disk_beside_the_tools_says_nothing_of_the_dump(site: Node, tools: Tools) -> None:
    site.change({"backup": {"preset": "parallel"}})
    back_up(site)
    verify_it(site)
    tools(site, tar="echo 'tar: /x/dump: Wrote only 512 of 10240 bytes: No space left on device' >&2; exit 2")
    with pytest.raises(MissingError, match="no room beside the client tools") as failed:
        verify_it(site)
    assert tells_everything(failed.value)
    assert only(site).state is GenerationState.PROVEN


# A function that finds its table by the search path, which is empty while a dump is loaded.
UNLOADABLE = """
CREATE TABLE public.allowed AS SELECT 1 AS n;
CREATE FUNCTION public.is_allowed(int) RETURNS bool LANGUAGE plpgsql AS
  $$ BEGIN RETURN EXISTS (SELECT FROM allowed WHERE n = $1); END $$;
CREATE TABLE public.checked (n int CHECK (public.is_allowed(n)));
INSERT INTO public.checked VALUES (1)
"""


def test_dump_that_cannot_be_loaded_is_not_proven(site: Node) -> None:
    site.rows(UNLOADABLE)
    back_up(site)
    with pytest.raises(VerificationFailed, match="cannot be restored into an empty server") as failed:
        verify_it(site)
    assert tells_everything(failed.value)
    assert 'relation "allowed" does not exist' in failed.value.evidence
    assert only(site).state is GenerationState.COMPLETE


@pytest.mark.parametrize("said", ["could not extend file: No space left on device", "server closed the connection"])
def test_scratch_server_that_fails_says_nothing_of_the_dump(said: str, proven: Node, tools: Tools) -> None:
    verify_it(proven)
    tools(proven, pg_restore=f'case "$*" in *--dbname*) echo "{said}" >&2; exit 1;; esac; exec {{real}} "$@"')
    with pytest.raises(OperationFailed, match="exit code 1") as failed:
        verify_it(proven)
    assert tells_everything(failed.value)
    assert only(proven).state is GenerationState.PROVEN


def test_generation_that_is_pruned_meanwhile_leaves_no_proof_behind(proven: Node) -> None:
    generation = only(proven)

    class Pruning(Silent):
        """Removes the generation when it is proven, before that is on record."""

        def began(self, name: str) -> None:
            if name == "record":
                remove_generation(generation)

    source = find_source(proven.settings.backup, "latest", proven.folder)
    with pytest.raises(OpsError, match="was removed while it was verified") as failed:
        verify(proven.stack, source, proven.settings.restore, Phases(Pruning()))
    assert tells_everything(failed.value)
    assert proven.backup_files() == set()


def test_all_are_verified_even_if_one_of_them_fails(proven: Node) -> None:
    first = only(proven)
    second = back_up(proven).generation
    third = back_up(proven).generation
    flip(second.dump, 0.5)
    done = proven.run("verify", "--all", "--json")
    assert done.returncode == ExitCode.NOT_EQUAL
    error = json.loads(done.stdout)["error"]
    assert "1 of 3 generations" in error["message"]
    assert second.id in error["evidence"]
    states = {one.id: one.state for one in read_catalogue(proven.backups, "node").generations}
    proof = {GenerationState.PROVEN}
    assert {states[first.id], states[third.id]} == proof
    assert states[second.id] is not GenerationState.PROVEN


def test_damaged_generation_is_not_passed_over(proven: Node) -> None:
    newest = back_up(proven).generation
    newest.dump.write_bytes(newest.dump.read_bytes()[:-9])
    done = proven.run("verify", "--all")
    assert done.returncode == ExitCode.NOT_EQUAL
    assert "1 of 2 generations are not proven" in done.stderr
    assert "its dump has" in done.stderr
    done = proven.run("verify")
    assert done.returncode == 0
    assert f"the newer generation {newest.id} is damaged" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "said"), [((), "there is no generation in"), (("--dump=random",), "leave --dump out")]
)
def test_nothing_to_verify_is_no_success(options: tuple[str, ...], said: str, site: Node) -> None:
    done = site.run("verify", "--all", *options)
    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr


def test_dump_without_a_manifest_cannot_be_proven(proven: Node) -> None:
    by_hand = proven.folder / "by hand.dump"
    by_hand.write_bytes(only(proven).dump.read_bytes())
    with pytest.raises(UsageError, match="no manifest") as failed:
        verify_it(proven, str(by_hand))
    assert tells_everything(failed.value)


@pytest.mark.parametrize("with_globals", [True, False])
def test_roles_come_along(with_globals: bool, site: Node, server: EmbeddedStack) -> None:
    roles = [f"{site.database}_{name}" for name in ("owner", "member", 'group\'s "q"')]
    for role in roles:
        execute(server, "CREATE ROLE {} LOGIN PASSWORD 'hunter22' CONNECTION LIMIT 7", role)
    try:
        execute(server, "GRANT {} TO {} WITH ADMIN OPTION", roles[2], roles[1])
        execute(server, "ALTER DATABASE {} OWNER TO {}", site.database, roles[0])
        execute(server, "ALTER ROLE {} VALID UNTIL '2040-01-01 00:00+00'", roles[0])
        site.rows(f'ALTER TABLE cn_relay.events OWNER TO "{roles[1]}"')
        site.change({"backup": {"globals": with_globals}})
        back_up(site)
        assert verify_it(site).proof.rows
    finally:
        execute(server, "DROP DATABASE {} WITH (FORCE)", site.database)
        for role in roles:
            execute(server, "DROP ROLE {}", role)


KILLED_AT = {
    "with the server up": ("cn_ops.verify:require_not_newer", "before"),
    "with the database made": ("cn_ops.verify:fill", "before"),
    "with everything loaded": ("cn_ops.verify:prove", "before"),
    "with the proof written": ("cn_ops.verify:write_proof", "after"),
}


@pytest.mark.parametrize("moment", KILLED_AT)
def test_killed_verification_is_cleaned_up_by_the_next(moment: str, proven: Node) -> None:
    target, when = KILLED_AT[moment]
    argv = [sys.executable, str(Path(kill_at.__file__)), target, "1", when, "verify"]
    done = subprocess.run(argv, cwd=proven.folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == -9, done.stderr
    assert bool(scratch_servers(proven)) is (moment != "with the proof written")  # that is done when it has gone
    expected = GenerationState.PROVEN if moment == "with the proof written" else GenerationState.COMPLETE
    assert only(proven).state is expected
    proven.ok("verify")
    assert only(proven).state is GenerationState.PROVEN


def test_killed_verification_is_cleaned_up_by_healing_and_one_that_runs_is_not(proven: Node) -> None:
    target, when = KILLED_AT["with everything loaded"]
    argv = [sys.executable, str(Path(kill_at.__file__)), target, "1", when, "verify"]
    subprocess.run(argv, cwd=proven.folder, capture_output=True, timeout=90, check=False)
    assert scratch_servers(proven)
    with lock(verify_lock_path(proven.settings, proven.stack), "verify"):
        assert "nothing to heal" in proven.ok("heal")
    assert scratch_servers(proven)
    assert "removed the scratch server" in proven.ok("heal")
    assert scratch_servers(proven) == []
    assert "nothing to heal" in proven.ok("heal")


def test_second_verification_at_a_time_is_told_who_is_at_it_and_a_backup_is_not_kept_waiting(proven: Node) -> None:
    with lock(verify_lock_path(proven.settings, proven.stack), "verify"):
        done = proven.run("verify")
        assert done.returncode == ExitCode.LOCKED
        assert "verify" in done.stderr
        back_up(proven)


def test_all_that_are_due_are_verified_and_no_others(proven: Node) -> None:
    first = only(proven).id
    verify_it(proven)
    second = back_up(proven).generation.id
    found = proven.json("verify", "--all", "--older-than=30")
    assert [one["generation"] for one in found["verified"]] == [second]
    assert proven.json("verify", "--all", "--older-than=30") == {"verified": []}
    assert {one["generation"] for one in proven.json("verify", "--all")["verified"]} == {first, second}


def test_all_goes_with_older_than(proven: Node) -> None:
    assert proven.run("verify", "--older-than=30").returncode == ExitCode.USAGE


def test_compare_is_equal_for_the_live_database_and_names_what_is_not(proven: Node) -> None:
    assert proven.json("compare")["equal"] is True
    proven.rows("DELETE FROM cn_relay.event_topics WHERE ctid = '(0,1)'; CREATE TABLE public.stranger ()")
    done = proven.run("compare", "--json")
    assert done.returncode == ExitCode.NOT_EQUAL
    document = json.loads(done.stdout)
    assert {one["what"] for one in document["differences"]} == {
        "table cn_relay.event_topics",
        "table public.stranger",
        "TABLE public.stranger",
    }
    (rows,) = [one for one in document["differences"] if one["what"] == "table cn_relay.event_topics"]
    assert rows["found"].endswith("(-1)")


@pytest.mark.parametrize("option", ["--database", "--dsn"])
def test_empty_name_is_not_taken_for_the_live_database(option: str, proven: Node) -> None:
    done = proven.run("compare", f"{option}=")
    assert done.returncode == ExitCode.USAGE
    assert f"{option} is empty" in done.stderr
