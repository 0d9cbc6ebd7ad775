"""What every test run does: capabilities in the header, markers from fixtures, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Set

import psutil
import pytest

from cn_ops import masking
from tests.support import leftovers
from tests.support.capabilities import PROBES, REQUIRED, capability, check_required_names, require
from tests.support.sweep.share import share_of_faults

pytest.register_assert_rewrite("tests.support.stack_contract")

FOREIGN = ("PG", "COMMUNITY_NODE_", "E2E_", "CN_OPS_")
# How long what was told to end may take to be gone.
PATIENCE_SECONDS = 3.0

BEFORE = pytest.StashKey[Set[str]]()


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweep",
        type=share_of_faults,
        default=None,
        metavar="all|K/N",
        help="try all faults (hours), or the K-th of N equal shares of them, instead of a sample",
    )
    # The same sample each time, so that it is a change that makes it fail; other seeds find other things.
    parser.addoption("--sweep-seed", type=int, default=3084139307, help="which sample the sweeps try")


def pytest_configure(config: pytest.Config) -> None:
    check_required_names()
    leftovers.run_id()
    # In the background of a script Ctrl-C is ignored, also by the processes whose Ctrl-C is tried here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What the environment says of a database or a node is the developer's, not the tests'.
    for name in list(os.environ):
        if name.startswith(FOREIGN) and not name.endswith(("_IMAGE", "_REQUIRE", "_RUN")):
            del os.environ[name]


def pytest_report_header() -> list[str]:
    found = {name: capability(name) for name in PROBES}
    lines = [
        f"{name}: {one.version if not one.missing else f'missing ({one.missing})'}" for name, one in found.items()
    ]
    return [*lines, f"required: {', '.join(sorted(REQUIRED)) or 'nothing'}, run: {leftovers.run_id()}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in PROBES:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(name)


@pytest.fixture(autouse=True)
def remembered_by_itself() -> Iterator[None]:
    """What one test takes for a secret is an ordinary word in another."""
    # Not the fixture: made for this, it would undo a test's own patches after everything else of the test.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_known", set(masking._known))
        yield


@pytest.fixture(scope="session")
def postgres() -> None:
    """PostgreSQL's binaries run here."""
    require("postgres")


@pytest.fixture(scope="session")
def docker() -> None:
    """An engine and compose answer."""
    require("docker")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not is_worker(session.config):
        session.config.stash[BEFORE] = leftovers.checkout_files()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail the run, once its workers have ended, when something of it is still there."""
    yield
    if is_worker(session.config):
        return
    problems = left_behind(session.config)
    appeared = leftovers.checkout_files() - session.config.stash[BEFORE]
    # At a developer's desk an editor makes files while tests run; where CN_OPS_REQUIRE is set nobody edits.
    if REQUIRED:
        problems += [f"file in the checkout: {name}" for name in sorted(appeared)]
    if problems:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.section("left behind by the tests", red=True)
        for problem in problems:
            reporter.write_line(problem)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def left_behind(config: pytest.Config) -> list[str]:
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := list(leftovers.processes(own))) and time.monotonic() < end:
        time.sleep(0.05)
    factory: pytest.TempPathFactory = vars(config)["_tmp_path_factory"]  # pytest offers it to fixtures only
    found += leftovers.areas(factory.getbasetemp())
    if not capability("docker").missing:
        found += leftovers.docker_objects()
    return found
