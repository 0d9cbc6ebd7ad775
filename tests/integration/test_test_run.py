"""The tests' own guards: each of them can fail."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.leftovers import CHECKOUT, RUN_VARIABLE

SLEEP = shutil.which("sleep") or "/bin/sleep"
Nested = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def nested(tmp_path: Path) -> Nested:
    """Run pytest on one file, as a run of its own, with this project's guards."""

    def run(text: str, *plugins: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_nested.py").write_text(text)
        guards = [option for plugin in ("tests.conftest", *plugins) for option in ("-p", plugin)]
        options = ["-q", "-rs", "-c", os.devnull, f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'base'}"]
        # Nothing is on PATH: asking Docker takes time, and most of these have nothing to do with it.
        clean = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PATH": str(tmp_path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *guards, *options, str(tmp_path)],
            env={**os.environ, RUN_VARIABLE: uuid.uuid4().hex, **clean, **environment},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_tidy_run_passes(nested: Nested) -> None:
    done = nested("def test_nothing(): pass")
    assert done.returncode == 0, done.stdout
    assert "left behind" not in done.stdout


def test_process_that_is_left_behind_fails_the_run(nested: Nested, tmp_path: Path) -> None:
    done = nested(
        "import subprocess\n"
        "def test_leaves(tmp_path):\n"
        f"    left = subprocess.Popen([{SLEEP!r}, '300'], start_new_session=True, stdout=-3, stderr=-3)\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(left.pid))\n"
        "    left.returncode = 0\n"
    )
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert "1 passed" in done.stdout
    assert done.returncode == 1
    assert f"process {pid}: {SLEEP} 300" in done.stdout


def test_area_that_is_left_behind_fails_the_run(nested: Nested) -> None:
    done = nested(
        "from cn_ops.stack.embedded_layout import layout\n"
        "def test_leaves(tmp_path):\n"
        "    layout(tmp_path / 'state').make()\n"
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("area ")]
    area = Path(line.split()[1])
    for path in sorted(area.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    area.rmdir()
    assert area.name.startswith("cn-ops-")
    assert done.returncode == 1


def test_missing_capability_is_a_skip_with_its_reason(nested: Nested) -> None:
    done = nested("def test_needs(docker): pass", CN_OPS_REQUIRE="postgres")
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "docker: the command `docker` is not installed" in done.stdout


def test_missing_capability_that_is_required_is_a_failure(nested: Nested) -> None:
    done = nested("def test_needs(docker): pass", CN_OPS_REQUIRE="postgres,docker")
    assert done.returncode == 1
    assert "CN_OPS_REQUIRE names docker, and it is missing" in done.stdout


def test_requirement_that_is_none_is_refused(nested: Nested) -> None:
    done = nested("def test_nothing(): pass", CN_OPS_REQUIRE="postgress")
    assert done.returncode == 4
    assert "CN_OPS_REQUIRE: postgress?" in done.stderr


def test_unit_test_that_starts_a_process_fails(nested: Nested) -> None:
    starts = [
        "import subprocess; subprocess.run(['/bin/true'])",
        "import os; os.system('/bin/true')",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.fork() or os._exit(0)",
        "from cn_ops import process; process.run(['/bin/true'])",
        "import subprocess, contextlib\n    with contextlib.suppress(BaseException): subprocess.run(['/bin/true'])",
    ]
    text = "".join(f"def test_{number}():\n    {start}\n" for number, start in enumerate(starts))
    done = nested(text + "def test_innocent(): pass\n", "tests.unit.conftest")
    # The one that swallows the refusal passes, and is found out afterwards, as the others are once more.
    assert "5 failed, 2 passed, 6 errors" in done.stdout


def test_markers_follow_from_fixtures(nested: Nested) -> None:
    text = "def test_one(docker): assert False\ndef test_two(request): assert not list(request.node.iter_markers())\n"
    done = nested(text, PYTEST_ADDOPTS="-m 'not docker'")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 deselected" in done.stdout
