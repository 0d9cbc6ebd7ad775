"""Settings: ``cn_ops.yaml`` and the environment, validated into frozen values."""

from cn_ops.settings.schema import (
    ApplicationSettings,
    BackupSettings,
    ComposeSettings,
    DrillSettings,
    EmbeddedService,
    EmbeddedSettings,
    PostgresSettings,
    Settings,
    StackSettings,
)

__all__ = [
    "ApplicationSettings",
    "BackupSettings",
    "ComposeSettings",
    "DrillSettings",
    "EmbeddedService",
    "EmbeddedSettings",
    "PostgresSettings",
    "Settings",
    "StackSettings",
]
