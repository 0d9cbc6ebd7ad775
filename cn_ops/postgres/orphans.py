"""Sessions that a killed command has left in the server."""

from __future__ import annotations

import psutil
import psycopg

from cn_ops.stack.base import own_sessions


def end_orphans(connection: psycopg.Connection) -> int:
    """End the sessions, client tools' and our own, that a killed command left behind; return how many there were.

    A statement goes on in the server when whoever sent it is dead: a drop that waits would be done later.

    Only for the one that holds the stack's lock: whoever lives on then, such as `inv compare`, changes nothing. Of
    another machine's commands nobody here can tell whether they live.
    """
    rows = connection.execute(
        "SELECT pid, split_part(application_name, '-', 4) FROM pg_stat_activity"
        " WHERE starts_with(application_name, %s) AND usename = session_user AND pid <> pg_backend_pid()",
        (own_sessions(),),
    ).fetchall()
    left = [pid for pid, maker in rows if not (maker.isdecimal() and psutil.pid_exists(int(maker)))]
    for pid in left:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    return len(left)
