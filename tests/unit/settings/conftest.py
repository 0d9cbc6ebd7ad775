"""A project's folder with settings in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cn_ops import masking
from cn_ops.errors import SettingsError
from cn_ops.settings.load import NO_OPTIONS, Loaded, load


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of these tests must not mask words in other tests' output."""
    monkeypatch.setattr(masking, "_known", set())


@dataclass(frozen=True)
class Project:
    """A folder that a command runs in."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "cn_ops.yaml"

    def write(self, text: str) -> Project:
        self.file.write_text(text, encoding="utf-8")
        self.file.chmod(0o600)
        return self

    def load(
        self,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, tuple[str, object]] = NO_OPTIONS,
    ) -> Loaded:
        return load(self.folder, environment or {}, options)

    def problems(
        self,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, tuple[str, object]] = NO_OPTIONS,
    ) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            self.load(environment, options)
        return caught.value.problems


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "ノード a"
    folder.mkdir()
    return Project(folder)
