"""The settings of the server stack."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from cn_ops.settings.section import Section
from cn_ops.settings.types import Command, Location, Secret, said


class ServerSettings(Section):
    """Any PostgreSQL server, such as a managed one: cn-ops neither starts nor stops it.

    The database of ``dsn`` is the live one. Without ``stop`` and ``start`` nothing that writes is stopped for a
    restore.
    """

    dsn: Secret | None = Field(
        None,
        description="Where it is: `postgresql://user@host/database`, `host=… user=… dbname=…` or "
        "`service=… dbname=…`. Better set in the environment when it holds a password.",
    )
    bin_dir: Location | None = Field(
        None, description="Folder of pg_dump, pg_dumpall, pg_restore and psql (null: those on PATH)."
    )
    stop: Command | None = Field(None, description="Program and arguments that stop whatever writes to the database.")
    start: Command | None = Field(
        None, description="Program and arguments that start it again; both are set, or neither is."
    )

    @field_validator("start")
    @classmethod
    def _both_or_neither(cls, start: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        """Refuse one without the other: what was stopped would stay stopped."""
        if "stop" in info.data and (start is None) != (info.data["stop"] is None):
            raise said("must be set if, and only if, stack.server.stop is")
        return start
