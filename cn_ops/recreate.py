"""Make the live database anew in its own place: the old contract's way, for when there is no room for two.

Between the drop and the last row there is no database to go back to, so everything that can be known is
checked before, and the journal knows what to make again if this process is killed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import cn_ops.postgres.database as db
from cn_ops.errors import Interrupted, OpsError, saying
from cn_ops.fingerprint import Comparison
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.scratch import scratch_database
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.replacement import fill, finished, refuse_writers, speaks_of, verify, writers_state


def recreate(operation: Operation, wanted: Recreation, said: Callable[[str], None]) -> None:
    """Drop the database, make it again and fill it.

    The record stays until ``finished``: a loaded database is not a verified one. An error says what is left.
    """
    if wanted.new_oid is not None:
        # What is dropped now is what an earlier try has made, and that was not finished either.
        wanted = replace(wanted, old_oid=wanted.new_oid, new_oid=None, loaded=False, damaged=True)
    operation.intend(recreating=wanted)
    try:
        said("drop and create")
        made = _drop_and_create(operation, wanted)
        fill(operation.stack, wanted, operation.settings.restore, said)
        operation.intend(recreating=replace(made, loaded=True))
    except KeyboardInterrupt:
        raise _with_state(operation, wanted, Interrupted("interrupted while restoring")) from None
    except OpsError as error:
        raise _with_state(operation, wanted, error) from error


def verify_recreated(operation: Operation, recorded: Recreation, said: Callable[[str], None]) -> Comparison | None:
    """Prove the database that was made anew; see ``cn_ops.replacement.verify``."""
    writers = writers_state(operation)
    state = f"the database {recorded.database!r} is restored but not equal{writers}"
    unproven = f"the database {recorded.database!r} is restored but not proven{writers}"
    hint = (
        "look at it with `inv compare`; `inv restore --dump=…` replaces it by what a generation holds (`inv backups` "
        f"lists them); if it is what you want, remove {operation.journal.path} and what its comment says of that"
    )
    with saying(unproven, "mend the cause; then `inv heal` proves it"):
        comparison = verify(operation, recorded, said, state=state, hint=hint)
        with session(operation.stack, maintenance_database(recorded.database)) as connection:
            alter.finish(connection, recorded.database)
    return comparison


def is_ours(operation: Operation, recorded: Recreation) -> bool:
    """Whether making anew what the record speaks of loses nothing.

    Raises ``OperationFailed`` when a writer works on it: somebody has gone on by hand.
    """
    if not speaks_of(operation, recorded):
        return False
    refuse_writers(operation, recorded)
    return True


def _drop_and_create(operation: Operation, wanted: Recreation) -> Recreation:
    """Make the empty database in the live one's place; return the record of it.

    What cannot be made at all (its tablespace, its locale) is known before a whole one is dropped.
    """
    if wanted.old_oid is not None and not wanted.damaged:
        with scratch_database(operation.stack, wanted.database, wanted.properties):
            pass
    with session(operation.stack, maintenance_database(wanted.database)) as connection:
        alter.drop(connection, wanted.database)
        alter.create_unfinished(connection, wanted.database, wanted.properties)
        made = db.identity(connection, wanted.database).database_oid
    recorded = replace(wanted, new_oid=made)
    operation.intend(recreating=recorded)
    return recorded


def _with_state(operation: Operation, wanted: Recreation, error: OpsError) -> OpsError:
    if not wanted.damaged and _is_untouched(operation, wanted):
        finished(operation)
        return error.with_state(f"the database {wanted.database!r} is as it was")
    again = f"`inv restore --dump={shlex.quote(wanted.dump)}`"
    return error.with_state(
        f"the database {wanted.database!r} is damaged, dropped or half restored{writers_state(operation)}; "
        f"the dump {wanted.dump} is good"
    ).with_hint(f"mend the cause; then {again}, or any other command, restores it")


def _is_untouched(operation: Operation, wanted: Recreation) -> bool:
    with suppress(OpsError), session(operation.stack, maintenance_database(wanted.database)) as connection:
        if db.exists(connection, wanted.database):
            is_old = db.identity(connection, wanted.database).database_oid == wanted.old_oid
            return is_old and db.is_valid(connection, wanted.database)
    return False
