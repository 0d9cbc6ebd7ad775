"""Damage of every kind that a comparison must notice and name."""

from tests.integration.proof.damages.base import Damage
from tests.integration.proof.damages.harmless import HARMLESS
from tests.integration.proof.damages.programs import PROGRAMS, TYPES
from tests.integration.proof.damages.rights import ELSEWHERE, RIGHTS
from tests.integration.proof.damages.rows import ROW_DAMAGES, VALUES
from tests.integration.proof.damages.tables import CONSTRAINTS, TABLES

DAMAGES = (*VALUES, *ROW_DAMAGES, *TABLES, *CONSTRAINTS, *PROGRAMS, *TYPES, *RIGHTS, *ELSEWHERE)

__all__ = ["DAMAGES", "HARMLESS", "Damage"]
