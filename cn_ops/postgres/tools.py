"""Whether the client tools suit the server that they are to work with."""

from __future__ import annotations

from cn_ops.postgres.database import server_version
from cn_ops.postgres.session import MAINTENANCE_DATABASE, session
from cn_ops.stack import Stack


def check_tools(stack: Stack, *, restoring: bool, force: bool = False) -> None:
    """Raise ``MissingError``, naming what was found and what is needed, unless they do; see ``Stack.check_tools``."""

    def asked() -> str:
        with session(stack, MAINTENANCE_DATABASE) as connection:
            return server_version(connection)

    stack.check_tools(asked, restoring=restoring, force=force)
