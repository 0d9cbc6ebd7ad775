"""The client tools for a server that is not beside them: where they are, and whether their version will do."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

from cn_ops import process
from cn_ops.errors import MissingError, OperationFailed

TOOLS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")
NOTHING = "nothing was changed"
# Where Debian's and Red Hat's packages keep the programs of each major version, the server's own among them.
VERSIONED_FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")


class Tools:
    """pg_dump and its like, in one folder or on PATH."""

    def __init__(self, bin_dir: Path | None) -> None:
        self._bin_dir = bin_dir
        self._versions: dict[str, str] = {}

    def path(self, name: str) -> Path:
        """Return where a tool is; raises ``MissingError``."""
        found = shutil.which(name, path=str(self._bin_dir) if self._bin_dir else None)
        if found is None:
            raise MissingError(
                f"{name} is not in {self._bin_dir or 'any folder of PATH'}",
                state=NOTHING,
                hint=f"install PostgreSQL's client tools (Debian: postgresql-client), {_or_bin_dir()}",
            )
        return Path(found)

    def version(self, name: str) -> str:
        """Return a tool's version, such as `17.6`."""
        if name not in self._versions:
            said = process.run([str(self.path(name)), "--version"], timeout=30).stdout
            found = re.search(r"\) (\d+\S*)", said)
            if found is None:
                raise OperationFailed(
                    f"{self.path(name)} does not say its version", state=NOTHING, evidence=said, hint=_or_bin_dir()
                )
            self._versions[name] = found[1]
        return self._versions[name]

    def check(self, server_version: str, *, restoring: bool, force: bool = False) -> None:
        """Raise ``MissingError`` unless the tools suit a server.

        To dump, none may be older than the server. To restore they must be of its major version, unless forced: what
        a newer pg_restore says may not be understood.
        """
        wanted = major_of(server_version)
        for name in TOOLS:
            version = self.version(name)
            if major_of(version) < wanted:
                raise self._unfit(name, server_version, "an older one does not know all that is there")
            if restoring and not force and major_of(version) != wanted:
                raise self._unfit(
                    name, server_version, "the server may not understand what a newer one says", forced=True
                )

    def cluster_folders(self, major: int) -> list[Path]:
        """Return the folders with everything of a server of that major version, the tools' own first."""
        own = [self.path("psql").parent, self.path("psql").resolve().parent]
        known = [*own, *(Path(folder.format(major=major)) for folder in VERSIONED_FOLDERS)]
        return [one for one in dict.fromkeys(known) if cluster_major(one) == major]

    def _unfit(self, name: str, server_version: str, why: str, *, forced: bool = False) -> MissingError:
        wanted = major_of(server_version)
        return MissingError(
            f"{self.path(name)} is of version {self.version(name)}, and the server is {server_version}: {why}",
            state=NOTHING,
            hint=f"install that version's (Debian: apt-get install postgresql-client-{wanted}), {_or_bin_dir()}"
            + ("; --force-version tries it with this one" if forced else ""),
        )


def cluster_major(folder: Path) -> int | None:
    """Return the major version of the server whose programs are in a folder, or None when there is none."""
    if not all((folder / name).exists() for name in ("postgres", "initdb", "pg_ctl")):
        return None
    found = re.search(
        r"\) (\d+)", process.run([str(folder / "postgres"), "--version"], timeout=30, check=False).stdout
    )
    return int(found[1]) if found else None


def major_of(version: str) -> int:
    """Return the major version of `17.6` or `18beta1`."""
    return int("".join(itertools.takewhile(str.isdigit, version)))


def _or_bin_dir() -> str:
    return "or set stack.server.bin_dir to a folder with them"
