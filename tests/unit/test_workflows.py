"""The workflows: their jobs are nox's sessions, and they can run on GitHub and under act."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nox
import pytest
from nox import registry
from packaging.requirements import Requirement

import noxfile
from tools import act

ROOT = Path(noxfile.__file__).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEST, NIGHTLY = ROOT / ".github/workflows/test.yml", ROOT / ".github/workflows/nightly.yml"
DRILL = "community-node-recovery-drill"
# The image that GitHub gives a job has these; the embedded stack brings its own PostgreSQL.
REQUIRED = {
    "native-test-linux": "postgres",
    "community-node-tests": "postgres,docker",
    "recovery": "postgres,docker",
    DRILL: "postgres,docker",
}

every_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = act.load(workflow)["jobs"]
    return found


def triggers(workflow: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true
    found: dict[str, Any] = {**act.load(workflow)}[True]  # type: ignore[index]
    return found


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for path in WORKFLOWS for name, job in jobs(path).items() for step in job["steps"]]


def sessions_run_by(job: dict[str, Any]) -> list[str]:
    return [name for step in job["steps"] for name in re.findall(r"bin/nox\" -s (\S+)$", step.get("run", ""))]


def test_each_job_runs_the_session_of_its_name() -> None:
    for name, job in jobs(TEST).items():
        assert sessions_run_by(job) == [name]
        assert name in registry.get()


def test_every_default_session_is_a_job() -> None:
    assert set(jobs(TEST)) >= {name for name, session in registry.get().items() if session.default}


def test_nightly_drill_runs_the_recovery_session() -> None:
    assert sessions_run_by(jobs(NIGHTLY)[DRILL]) == ["recovery"]


def test_nothing_may_be_skipped_where_github_has_it() -> None:
    stated = {
        name: job["env"]["CN_OPS_REQUIRE"]
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        if "CN_OPS_REQUIRE" in job.get("env", {})
    }
    assert stated == REQUIRED


@every_workflow
def test_jobs_may_read_only_and_end_in_time(workflow: Path) -> None:
    document = act.load(workflow)
    assert document["permissions"] == {"contents": "read"}
    assert "group" in document["concurrency"]
    for name, job in jobs(workflow).items():
        assert 1 <= job["timeout-minutes"] <= 60, name
        assert "permissions" not in job, name


@every_workflow
def test_nox_is_the_one_that_the_noxfile_asks_for(workflow: Path) -> None:
    (header,) = map(Requirement, nox.project.load_toml(ROOT / "noxfile.py")["dependencies"])
    assert header.specifier.contains(act.load(workflow)["env"]["NOX_VERSION"])


def test_each_action_is_pinned_and_can_run_under_act() -> None:
    for path in WORKFLOWS:
        for action in act.actions(path):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", action), action
            # act copies the checkout by itself, and would have to clone everything else
            known = action.startswith("actions/checkout@") or act.stand_ins([action], act.STAND_INS)
            assert known, action


def test_stand_in_knows_the_inputs_that_jobs_give() -> None:
    for _, step in steps():
        if step.get("uses", "").startswith("actions/upload-artifact@"):
            stand_in = act.load(act.STAND_INS / "upload-artifact" / "action.yml")
            assert set(step["with"]) <= set(stand_in["inputs"])


def test_no_expression_is_pasted_into_a_script() -> None:
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name


@every_workflow
def test_each_job_can_be_started_by_hand(workflow: Path) -> None:
    assert act.EVENT in triggers(workflow)


def test_nightly_starts_daily_so_that_the_gate_sees_the_first_of_a_month() -> None:
    ((_, schedule),) = [(key, value) for key, value in triggers(NIGHTLY).items() if key == "schedule"]
    minute, hour, *rest = schedule[0]["cron"].split()
    assert rest == ["*", "*", "*"]
    assert minute.isdigit()
    assert hour.isdigit()


def test_nightly_drill_waits_for_the_gate() -> None:
    drill, gate = jobs(NIGHTLY)[DRILL], jobs(NIGHTLY)["gate"]
    assert drill["needs"] == "gate"
    assert drill["if"] == "needs.gate.outputs.run == 'true'"
    (decide,) = gate["steps"]
    assert gate["outputs"] == {"run": f"${{{{ steps.{decide['id']}.outputs.run }}}}"}


def test_nightly_keeps_the_artefacts_under_their_old_names_also_after_a_failure() -> None:
    uploads = [step for step in jobs(NIGHTLY)[DRILL]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert {step["with"]["name"]: step["with"]["path"] for step in uploads} == {
        "nightly.community-node-recovery-logs": "tmp/logs/community-node-recovery",
        "nightly.community-node-recovery-reports": "test-results/community-node-recovery",
    }
    assert {step["if"] for step in uploads} == {"${{ !cancelled() }}"}


def nightly_assertions() -> str:
    (step,) = [step for step in jobs(NIGHTLY)[DRILL]["steps"] if step.get("name") == "Assert the latest summary"]
    script = re.search(r"<<'END'\n(.*)\nEND", step["run"], re.DOTALL)
    assert script is not None
    return script[1]


PASSED = {
    "status": "passed",
    "backup_file": "/x.dump",
    "baseline_event_count": 9,
    "after_corruption_event_count": 0,
    "after_restore_event_count": 9,
    "log_path": "/x.log",
}


@pytest.mark.parametrize(
    ("changed", "accepted"),
    [
        ({}, True),
        ({"status": "failed"}, False),
        ({"baseline_event_count": 0, "after_restore_event_count": 0}, False),
        ({"baseline_event_count": None, "after_restore_event_count": None}, False),
        ({"after_corruption_event_count": None}, False),
        ({"after_corruption_event_count": 1}, False),
        ({"after_restore_event_count": 8}, False),
        ({"backup_file": None}, False),
        ({"log_path": ""}, False),
    ],
)
def test_nightly_asserts_the_summary_as_the_old_job_did(
    changed: dict[str, Any], accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "latest-summary.json"
    file.write_text(json.dumps(PASSED | changed))
    monkeypatch.setattr("sys.argv", ["-", str(file)])
    script = compile(nightly_assertions(), "nightly.yml", "exec", dont_inherit=True)
    if accepted:
        exec(script, {})
    else:
        with pytest.raises(AssertionError):
            exec(script, {})


def test_act_finds_the_workflow_of_each_job() -> None:
    found = act.jobs(act.WORKFLOWS)
    assert found["format-check"] == TEST
    assert found[DRILL] == NIGHTLY


@pytest.mark.parametrize("arguments", [[], ["nightly"], ["--help"]])
def test_act_names_the_jobs_when_it_does_not_know_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert act.main(arguments) == 2
    shown = capsys.readouterr().err
    assert "nothing was run" in shown
    for job in act.jobs(act.WORKFLOWS):
        assert job in shown


def test_act_runs_steps_on_this_machine_and_listens_nowhere() -> None:
    argv = act.command(DRILL, NIGHTLY, Path("/scratch folder"))
    assert argv[:2] == ["act", "workflow_dispatch"]
    assert f"--job={DRILL}" in argv
    assert "--platform=ubuntu-latest=-self-hosted" in argv
    assert "--no-cache-server" in argv
    (replaced,) = [option for option in argv if option.startswith("--local-repository=")]
    assert replaced == f"--local-repository=actions/upload-artifact@v4={act.STAND_INS / 'upload-artifact'}"


def test_act_gives_the_job_neither_this_virtual_environment_nor_the_developers_stack() -> None:
    own = str(Path(sys.prefix) / "bin")
    outer = {
        "PATH": f"{own}:/usr/bin:/bin",
        "VIRTUAL_ENV": "/x",
        "NOX_CURRENT_SESSION": "act",
        "TERM": "xterm",
        "CN_OPS_STACK__COMPOSE__PROJECT": "mine",
        "COMMUNITY_NODE_POSTGRES_IMAGE": "local/postgres:17",
    }
    assert act.environment(outer, Path("/kept")) == {
        "PATH": "/usr/bin:/bin",
        "COMMUNITY_NODE_POSTGRES_IMAGE": "local/postgres:17",
        "CN_OPS_STACK__COMPOSE__PROJECT": "cn-ops-act",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "ACT_ARTIFACTS": "/kept",
    }


def test_act_logs_are_named_after_job_and_time() -> None:
    log = act.log_file("format-check", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert log.relative_to(ROOT) == Path("tmp/logs/gh-act-format-check-20260102-030405.log")
