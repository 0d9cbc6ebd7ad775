"""Running Python as an ordinary user, also when the tests run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import cn_ops
from tests.support.leftovers import RUN_VARIABLE, run_id

ACCOUNT = "nobody"


@dataclass(frozen=True)
class OrdinaryUser:
    """An account that is not root, with a home that only it can enter."""

    account: str | None
    home: Path
    python: str
    modules: str

    def run(self, script: str, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a script in that account, in its home, with an environment of its own."""
        environment = {"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": self.modules}
        return _run_as(
            self.account,
            [self.python, "-c", script, *arguments],
            environment={**environment, RUN_VARIABLE: run_id()},
            folder=self.home,
            timeout=timeout,
        )


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Give an ordinary user: the current one, or as root the account `nobody`."""
    account = ACCOUNT if os.geteuid() == 0 else None
    top = Path(tempfile.mkdtemp(prefix=f"cn-ops-test-{run_id()}-", dir="/var/tmp"))
    try:
        home = top / "its home"
        home.mkdir(mode=0o700)
        if account:
            top.chmod(0o711)
            shutil.chown(home, account)
        yield OrdinaryUser(account, home, _python(account), _modules(account, top))
    finally:
        shutil.rmtree(top)


def _python(account: str | None) -> str:
    """Return an interpreter of the same version that the account can run."""
    if account is None:
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    own = str(Path(sys.executable).resolve())
    for candidate in (own, f"/usr/local/bin/python{version}", f"/usr/bin/python{version}"):
        with suppress(OSError):
            if _run_as(account, [candidate, "--version"]).returncode == 0:
                return candidate
    pytest.skip(f"no Python {version} that the account {account} can run")


def _modules(account: str | None, top: Path) -> str:
    """Return a PYTHONPATH with the package and what it needs, in copies where the account cannot read them."""
    needed = [Path(cn_ops.__file__).parent, Path(psycopg.__file__).parents[1]]
    if account is None or all(_run_as(account, ["ls", str(folder)]).returncode == 0 for folder in needed):
        return os.pathsep.join([str(needed[0].parent), str(needed[1])])
    package, libraries = top / "package", top / "libraries"
    shutil.copytree(needed[0], package / needed[0].name)
    shutil.copytree(needed[1], libraries)
    return os.pathsep.join([str(package), str(libraries)])


def _run_as(
    account: str | None,
    argv: list[str],
    *,
    environment: dict[str, str] | None = None,
    folder: Path = Path("/"),
    timeout: float = 30,
) -> subprocess.CompletedProcess[str]:
    entry = pwd.getpwnam(account) if account else None
    return subprocess.run(
        argv,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        user=entry.pw_uid if entry else None,
        group=entry.pw_gid if entry else None,
        extra_groups=[] if entry else None,
    )
