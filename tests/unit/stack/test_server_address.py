"""A DSN, its service and the settings lead to one server and one database, whatever the environment says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from cn_ops.errors import SettingsError
from cn_ops.masking import MASK, mask
from cn_ops.settings import ServerSettings, Settings, StackSettings
from cn_ops.settings.load import Loaded, load
from cn_ops.stack import choose
from cn_ops.stack.server_address import address_of_dsn
from cn_ops.stack.server_dsn import BadDsn
from cn_ops.stack.server_settings import with_server

DSN = "CN_OPS_STACK__SERVER__DSN"
SERVER = {"CN_OPS_STACK__KIND": "server"}


def loaded(folder: Path, **environment: str) -> Loaded:
    return with_server(load(folder, {**SERVER, **environment}), environment)


def test_database_and_role_of_the_dsn_are_the_live_ones(tmp_path: Path) -> None:
    found = loaded(tmp_path, **{DSN: "postgresql://owner:hunter22@db.example.com:6432/notes"})
    postgres = found.settings.stack.postgres
    assert (postgres.database, postgres.user, postgres.service) == ("notes", "owner", "server")
    assert found.sources["stack.postgres.database"] == f"environment {DSN}"
    assert mask("hunter22") == MASK


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://me@h", "names no database"),
        ("host=h dbname=d", "names no user"),
        ("user=me dbname=d", "names no host"),
        ("postgresql://me@h/d?sslmod=require", "did you mean sslmode?"),
        ("postgresql://me@h/d?keepalives_idle=30", "leave it out"),
        ("host=a,b port=1,2,3 user=me dbname=d", "ports"),
        ("postgresql://me@h:0/d", "1 to 65535"),
        ("postgresql://me@h/" + "d" * 64, "63 bytes"),
        ("not a dsn", "postgresql://user@host/database"),
        ("service=nowhere dbname=d", "service 'nowhere'"),
        (None, "is needed"),
    ],
)
def test_unusable_dsn_is_an_error_that_names_its_place(tmp_path: Path, dsn: str | None, message: str) -> None:
    given = {DSN: dsn} if dsn else {}
    with pytest.raises(SettingsError) as failed:
        loaded(tmp_path, HOME=str(tmp_path), PGSYSCONFDIR=str(tmp_path), **given)
    assert "stack.server.dsn: " in failed.value.message
    assert message in failed.value.message
    assert f"({'environment ' + DSN if dsn else 'default'})" in failed.value.message


@pytest.mark.parametrize("name", ["database", "user"])
def test_setting_that_contradicts_the_dsn_is_an_error_and_one_that_agrees_is_none(tmp_path: Path, name: str) -> None:
    variable = f"CN_OPS_STACK__POSTGRES__{name.upper()}"
    dsn = "postgresql://same@h/same"
    assert loaded(tmp_path, **{DSN: dsn, variable: "same"}).settings.stack.postgres.database == "same"
    with pytest.raises(SettingsError, match=rf"stack\.postgres\.{name} is 'other'"):
        loaded(tmp_path, **{DSN: dsn, variable: "other"})


def test_role_and_password_may_stand_beside_the_dsn(tmp_path: Path) -> None:
    beside = {"CN_OPS_STACK__POSTGRES__USER": "me", "CN_OPS_STACK__POSTGRES__PASSWORD": "hunter23"}
    settings = loaded(tmp_path, **{DSN: "host=h dbname=d", **beside}).settings
    stack = choose(settings).stack
    assert stack.conninfo("other") == {
        "host": "h",
        "port": "5432",
        "dbname": "other",
        "user": "me",
        "password": "hunter23",
    }


def test_bad_dsn_is_an_error_also_when_another_stack_is_chosen(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"stack\.server\.dsn"):
        with_server(load(tmp_path, {"CN_OPS_STACK__KIND": "embedded", DSN: "x"}), {})


@pytest.mark.parametrize(
    ("file", "environment", "disposable"),
    [
        ("stack: {kind: embedded, disposable: true}", {}, None),
        ("stack: {disposable: true}", {}, None),
        ("stack: {disposable: true}", {"CN_OPS_STACK__DISPOSABLE": "true"}, True),
        ("stack: {disposable: true}", {"CN_OPS_STACK__KIND": "server"}, None),
        ("stack: {disposable: false}", {}, False),
    ],
)
def test_stack_that_the_file_calls_disposable_is_not_a_server_that_an_option_leads_to(
    file: str, environment: dict[str, str], disposable: bool | None, tmp_path: Path
) -> None:
    (tmp_path / "cn_ops.yaml").write_text(file)
    given = {DSN: "postgresql://me@h/d", **environment}
    found = with_server(load(tmp_path, given, {"stack.kind": ("--stack", "server")}), given)
    assert found.settings.stack.disposable is disposable
    assert bool(found.warnings) is (disposable is None)


def test_auto_never_takes_the_server(tmp_path: Path) -> None:
    found = load(tmp_path, {DSN: "postgresql://me@h/d", "CN_OPS_STACK__COMPOSE__FILES": "[node.yml]"})
    assert choose(found.settings).stack.kind != "server"


def test_server_is_disposable_only_when_it_is_said(tmp_path: Path) -> None:
    for declared, disposable in (({}, False), ({"CN_OPS_STACK__DISPOSABLE": "true"}, True)):
        choice = choose(loaded(tmp_path, **{DSN: "postgresql://me@h/d", **declared}).settings)
        assert (choice.stack.kind, choice.disposable) == ("server", disposable)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://me@h/d", "postgresql://me@h/e"),
        ("postgresql://me@h/d", "postgresql://me@h:5433/d"),
        ("postgresql://me@h/d", "postgresql://me@i/d"),
        ("host=/a/b user=me dbname=d", "host=/a-b user=me dbname=d"),
    ],
)
def test_every_database_has_a_lock_of_its_own(one: str, other: str) -> None:
    assert address_of_dsn(one, {}).slug != address_of_dsn(other, {}).slug
    assert "/" not in address_of_dsn(one, {}).slug


def test_stop_and_start_come_together() -> None:
    for lonely in ({"stop": ("true",)}, {"start": ("true",)}):
        with pytest.raises(ValidationError, match=r"stack\.server\.stop"):
            ServerSettings.model_validate(lonely)
    assert Settings(stack=StackSettings(server=ServerSettings(stop=("a",), start=("b",)))).stack.server.stop == ("a",)


def test_environment_of_tools_leads_to_the_server_and_keeps_what_proves_who_we_are() -> None:
    astray = {
        "PGHOST": "evil",
        "PGHOSTADDR": "6.6.6.6",
        "PGDATABASE": "evil",
        "PGOPTIONS": "-c x=y",
        "PGSERVICE": "e",
    }
    kept = {"PGPASSFILE": "/p", "PGSSLROOTCERT": "/r", "PGPASSWORD": "ambient", "PATH": "/bin"}
    found = address_of_dsn("postgresql://me@h:1/d?sslmode=verify-full", {}).environment({**astray, **kept})
    assert found == {
        **kept,
        "PGHOST": "h",
        "PGPORT": "1",
        "PGUSER": "me",
        "PGDATABASE": "d",
        "PGSSLMODE": "verify-full",
    }


def test_several_hosts_lead_to_the_one_that_can_be_written_to() -> None:
    found = address_of_dsn("postgresql://me@a,b:5433/d", {}).parameters
    assert (found["host"], found["port"], found["target_session_attrs"]) == ("a,b", ",5433", "read-write")


def write_services(folder: Path) -> Path:
    file = folder / "services.conf"
    file.write_text(
        "# comment\n[other]\nhost=wrong\n\n[notes]\nhost=first\nhost=second\n port=6000\nuser=me\npassword= p w\n"
        "dbname=standard\n[after]\nsslmode=disable\n"
    )
    return file


def test_service_gives_what_the_dsn_does_not(tmp_path: Path) -> None:
    environment = {"PGSERVICEFILE": str(write_services(tmp_path))}
    found = address_of_dsn("service=notes dbname=mine", environment).parameters
    assert found == {"host": "first", "port": "6000", "user": "me", "password": " p w", "dbname": "mine"}
    assert address_of_dsn("service=notes", environment).database == "standard"


def test_service_is_looked_for_at_home_and_then_in_the_system(tmp_path: Path) -> None:
    home, system = tmp_path / "home", tmp_path / "system"
    home.mkdir()
    system.mkdir()
    write_services(tmp_path).rename(system / "pg_service.conf")
    environment = {"HOME": str(home), "PGSYSCONFDIR": str(system)}
    assert address_of_dsn("service=notes", environment).where == "first:6000"
    (home / ".pg_service.conf").write_text("[notes]\nhost=home\nuser=u\ndbname=d\n")
    assert address_of_dsn("service=notes", environment).where == "home:5432"


@pytest.mark.parametrize("line", ["service=again", "no equals", "ldap://dir"])
def test_service_with_a_line_that_cannot_be_used_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "services.conf"
    file.write_text(f"[notes]\nhost=h\n{line}\n")
    with pytest.raises(BadDsn, match="line 3 in"):
        address_of_dsn("service=notes", {"PGSERVICEFILE": str(file)})


hosts = st.sampled_from(("h", "127.0.0.1", "::1", "/var/run", "a,b"))
values = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() and text.strip() == text)


@given(hosts, st.fixed_dictionaries({"user": values, "password": values, "dbname": values}))
def test_url_for_other_programs_says_the_same_as_the_parameters(host: str, named: dict[str, Any]) -> None:
    quoted = " ".join(
        f"{name}='" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for name, text in named.items()
    )
    address = address_of_dsn(f"host='{host}' {quoted}", {})
    assert {name: str(value) for name, value in conninfo_to_dict(address.url).items()} == dict(address.parameters)
