"""What every server's tools have in common once one of them can be started."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from cn_ops import process
from cn_ops.process import Completed, Running
from cn_ops.stack.base import CONTAINER_FOLDERS, TOOL_LOCALE, Server


class ToolRunner(Server):
    """Runs tools and scripts, where a server says how they are started."""

    def tool(
        self,
        argv: Sequence[str],
        *,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """Run a client tool to its end."""
        with self.tool_started(argv, stdin=stdin, stdout=stdout) as running:
            return running.wait(timeout)

    def script_started(
        self,
        script: str,
        arguments: Sequence[str],
        *,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
    ) -> AbstractContextManager[Running]:
        """Start a shell script where the tools are."""
        return self.shell_started(["-c", script, "cn-ops", *arguments], stdin, stdout)

    @abstractmethod
    def shell_started(
        self, arguments: Sequence[str], stdin: BinaryIO | None, stdout: BinaryIO | None
    ) -> AbstractContextManager[Running]:
        """Start a shell where the tools are, with them on its PATH; it is ended like one of them."""


def exec_options(user: str, session: str) -> list[str]:
    """Return the options with which the engine executes a tool: as which role, and what its session is called."""
    environment = {"PGUSER": user, "PGAPPNAME": session, **TOOL_LOCALE}
    return [f"--env={name}={value}" for name, value in environment.items()]


class ContainerTools(ToolRunner):
    """Tools in a container."""

    @property
    def reads_files(self) -> bool:
        """No: they are in the container."""
        return False

    @property
    def folders(self) -> str:
        """The container's own, on its writable layer."""
        return CONTAINER_FOLDERS

    def shell_started(
        self, arguments: Sequence[str], stdin: BinaryIO | None, stdout: BinaryIO | None
    ) -> AbstractContextManager[Running]:
        """Start a shell in the container."""
        return self.tool_started(["sh", *arguments], stdin=stdin, stdout=stdout)


class LocalTools(ToolRunner):
    """Tools of this machine."""

    @abstractmethod
    def tool_place(self) -> tuple[Path, Mapping[str, str]]:
        """Return the tools' folder and their environment."""

    @property
    def reads_files(self) -> bool:
        """Yes: they run here."""
        return True

    def shell_started(
        self, arguments: Sequence[str], stdin: BinaryIO | None, stdout: BinaryIO | None
    ) -> AbstractContextManager[Running]:
        """Start a shell on this machine."""
        tools, environment = self.tool_place()
        path = f"{tools}{os.pathsep}{environment.get('PATH', os.defpath)}"
        return process.started(["/bin/sh", *arguments], stdin=stdin, stdout=stdout, env={**environment, "PATH": path})
