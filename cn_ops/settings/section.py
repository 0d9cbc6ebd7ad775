"""What all sections of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that belong together: frozen, and nothing unknown among them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        # What editors show above a description: the name as it is typed.
        field_title_generator=lambda name, _: name,
    )
