"""Settings: ``cn_ops.yaml`` and the environment, validated into frozen values."""

from cn_ops.settings.schema import (
    ApplicationSettings,
    BackupSettings,
    ComposeSettings,
    DrillSettings,
    EmbeddedService,
    EmbeddedSettings,
    PostgresSettings,
    ProbeSettings,
    RestoreSettings,
    Settings,
    StackSettings,
)
from cn_ops.settings.server import ServerSettings

__all__ = [
    "ApplicationSettings",
    "BackupSettings",
    "ComposeSettings",
    "DrillSettings",
    "EmbeddedService",
    "EmbeddedSettings",
    "PostgresSettings",
    "ProbeSettings",
    "RestoreSettings",
    "ServerSettings",
    "Settings",
    "StackSettings",
]
