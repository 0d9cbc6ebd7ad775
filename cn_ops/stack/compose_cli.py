"""The compose command line: what is called, how its answers are read, and what its refusals mean."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from cn_ops import process
from cn_ops.errors import MissingError, OpsError, UsageError
from cn_ops.process import Completed, ProcessFailed, Running
from cn_ops.settings import ComposeSettings

# Of early 2023; nobody has looked at older ones.
OLDEST_COMPOSE = (2, 17)

PROJECT_LABEL = "com.docker.compose.project"
# Only what compose itself has made has it: images that it builds name its project as well, and so does whatever
# somebody runs from them.
MADE_BY_COMPOSE = "com.docker.compose.config-hash"
CONFIGURED = ("config", "--services")
NO_DOCKER_HINT = "start or install Docker, or run on this machine alone with --stack=embedded"


class ImageMissing(MissingError):
    """An image that a service needs can be had nowhere."""


# What engines and compose say, what it means, and the way out.
REFUSALS: tuple[tuple[str, type[OpsError], str, str], ...] = (
    (
        r"cannot connect to the docker daemon|is the docker daemon running|error during connect",
        MissingError,
        "no Docker engine answers",
        NO_DOCKER_HINT,
    ),
    (
        r"permission denied.*docker(\.sock| daemon socket| API)",
        MissingError,
        "this user may not talk to the Docker engine",
        "add the user to the group `docker`, or use --stack=embedded",
    ),
    (
        r"port is already allocated|address already in use|failed to bind host port|ports are not available",
        MissingError,
        "a port that the stack publishes is taken",
        "stop what uses it, or choose another: COMMUNITY_NODE_USER_API_PORT, COMMUNITY_NODE_POSTGRES_PORT",
    ),
    (
        r"pull access denied|manifest (for .* )?(not found|unknown)|failed to resolve|no such host"
        r"|error getting credentials|registry|no such image",
        ImageMissing,
        "an image is neither here nor can it be pulled",
        "check the image's name and the network, or name one that is here: CN_OPS_POSTGRES_IMAGE, CN_OPS_NODE_IMAGE; "
        "compose/ci/build-images makes equivalent ones from Debian packages",
    ),
    (r"no such service", UsageError, "the compose file does not have that service", "see stack.postgres.service"),
)


class Compose:
    """Calls compose for one project."""

    def __init__(self, settings: ComposeSettings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self._environment = {**os.environ, **environment}
        self._directory = settings.directory or settings.files[0].parent

    @cached_property
    def base(self) -> tuple[str, ...]:
        """The command with everything that names the project."""
        command = shlex.split(self.settings.command)
        where = self.settings
        options = ["--project-name", where.project, "--project-directory", str(self._directory), "--ansi", "never"]
        options += [part for file in where.files for part in ("--file", str(file))]
        options += ["--env-file", str(where.env_file)] if where.env_file else []
        options += [part for profile in where.profiles for part in ("--profile", profile)]
        return (*command, *options)

    @cached_property
    def engine(self) -> str:
        """The engine's own command line, for what compose cannot tell, or tells late."""
        first = shlex.split(self.settings.command)[0]
        return "docker" if Path(first).name == "docker-compose" else first

    def run(self, *arguments: str, timeout: float | None = None, stdin: BinaryIO | None = None) -> Completed:
        """Run a compose command; what it refuses becomes an error for people."""
        self._check_files()
        try:
            return process.run(
                [*self.base, *arguments], env=self._environment, cwd=self._directory, timeout=timeout, stdin=stdin
            )
        except ProcessFailed as error:
            refusal = explained(error)
            if isinstance(refusal, ImageMissing):
                refusal.message = f"{refusal.message}: {self._absent_images()}"
            raise refusal from error

    def exec_started(
        self,
        container: str,
        options: Sequence[str],
        argv: Sequence[str],
        *,
        stdin: BinaryIO | None,
        stdout: BinaryIO | None,
        env: Mapping[str, str],
    ) -> AbstractContextManager[Running]:
        """Start a command in a container, by the engine itself: compose takes twice as long to do the same."""
        command = [self.engine, "exec", "--interactive", *options, container, *argv]
        return process.started(command, stdin=stdin, stdout=stdout, env={**self._environment, **env})

    def ask_engine(self, *arguments: str, check: bool = True) -> Completed:
        """Run a command of the engine itself."""
        try:
            return process.run([self.engine, *arguments], env=self._environment, check=check)
        except ProcessFailed as error:
            raise explained(error) from error

    def check(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Check files, command, version and engine; return the project's services and its containers' ids.

        All is asked at the same time: it takes as long as the slowest. Raises ``UsageError`` or ``MissingError``.
        """
        self._check_files()
        command = shlex.split(self.settings.command)
        for program in (command[0], self.engine):
            if process.find(program) is None:
                raise MissingError(f"`{program}` is not installed", state="nothing was started", hint=NO_DOCKER_HINT)
        asked = ([*command, "version", "--short"], [self.engine, *self._listing], [*self.base, *CONFIGURED])
        with ExitStack() as held:
            started = [
                held.enter_context(process.started(argv, env=self._environment, cwd=self._directory))
                for argv in asked
            ]
            version, listed, configured = (one.wait(check=False) for one in started)
        self._check_version(version)
        if listed.exit_code != 0:
            raise explained(ProcessFailed(listed)).with_state("nothing was started")
        if configured.exit_code != 0:
            raise self._unreadable(configured)
        return tuple(configured.stdout.split()), tuple(listed.stdout.split())

    def services(self) -> tuple[str, ...]:
        """Return the services of the project; raises ``UsageError`` for files that compose cannot read."""
        try:
            return tuple(self.run(*CONFIGURED).stdout.split())
        except ProcessFailed as error:
            raise self._unreadable(error.completed) from error

    def container_ids(self) -> tuple[str, ...]:
        """Return the containers that compose has made for the project, those of commands that run once among them."""
        return tuple(self.ask_engine(*self._listing).stdout.split())

    @property
    def _listing(self) -> tuple[str, ...]:
        labels = (f"{PROJECT_LABEL}={self.settings.project}", MADE_BY_COMPOSE)
        return ("ps", "--all", "--quiet", "--no-trunc", *(f"--filter=label={one}" for one in labels))

    def _unreadable(self, configured: Completed) -> UsageError:
        return UsageError(
            f"compose cannot read {', '.join(str(file) for file in self.settings.files)}",
            evidence=configured.evidence,
            state="nothing was started",
            hint="`docker compose config` in its folder shows the same",
        )

    def _check_files(self) -> None:
        for file in (*self.settings.files, self.settings.env_file):
            if file is not None and not file.is_file():
                raise UsageError(
                    f"the compose file {file} is not there",
                    state="nothing was started",
                    hint="set stack.compose.files (and env_file) in cn_ops.yaml, or use --stack=embedded",
                )
        if not self._directory.is_dir():
            raise UsageError(
                f"the project directory {self._directory} is not there",
                state="nothing was started",
                hint="set stack.compose.directory in cn_ops.yaml",
            )

    def _absent_images(self) -> str:
        images = sorted(set(process.run([*self.base, "config", "--images"], env=self._environment).stdout.split()))
        absent = [one for one in images if self.ask_engine("image", "inspect", one, check=False).exit_code != 0]
        return ", ".join(absent) or "it is not known which"

    def _check_version(self, asked: Completed) -> None:
        found = re.search(r"(\d+)\.(\d+)", asked.stdout)
        if asked.exit_code != 0 or not found:
            raise MissingError(
                f"`{self.settings.command}` does not work: the compose plugin is missing",
                evidence=asked.evidence,
                state="nothing was started",
                hint="install Docker Compose v2, or set stack.compose.command to a standalone docker-compose",
            )
        version = (int(found[1]), int(found[2]))
        if version < OLDEST_COMPOSE:
            raise MissingError(
                f"compose {asked.stdout.strip()} is too old: "
                f"{OLDEST_COMPOSE[0]}.{OLDEST_COMPOSE[1]} is the oldest that works",
                state="nothing was started",
                hint="install a newer Docker Compose",
            )


def explained(error: ProcessFailed) -> OpsError:
    """Say what a refusal of compose or the engine means, where it is known."""
    for pattern, kind, message, hint in REFUSALS:
        if re.search(pattern, error.evidence, re.IGNORECASE):
            return kind(message, hint=hint, evidence=error.evidence)
    return error
