"""`inv verify` and `inv compare`."""

from __future__ import annotations

from invoke.context import Context

from cn_ops.tasks.guard import command, ending_with, help_of


@command(
    help=help_of(
        "stack",
        "json",
        dump="latest, latest-proven, random, a generation's id, or a path (default: latest)",
        all="verify every generation, newest first; a damaged one fails",
        older_than="with --all: only those not proven in so many days",
    ),
)
def verify(
    context: Context,
    dump: str = "latest",
    all: bool = False,  # noqa: A002 - the option's name
    older_than: str | None = None,
    stack: str = "",
    json: bool = False,
) -> None:
    """Prove a generation: restore it into a throwaway server and compare everything. Live data is not touched.

    For example:
      inv verify
      inv verify --dump=random
      inv verify --all --older-than=30
    """
    from cn_ops.report.documents import verify_document
    from cn_ops.report.terminal import verify_results
    from cn_ops.tasks.setup import prepared, whole_number
    from cn_ops.tasks.show import print_json, show
    from cn_ops.tasks.verify_run import chosen, run_verify

    days = whole_number("--older-than", older_than, 0, "days")
    with prepared(stack) as ready:
        node = ready.choose().stack
        results = run_verify(ready, node, chosen(ready, node, dump, days, every=all))
    if json:
        print_json({"verified": [verify_document(one) for one in results]})
    else:
        show(verify_results(results))


@command(
    reads=True,
    help=help_of(
        "stack",
        "json",
        dump="latest, latest-proven, a generation's id, or a path (default: latest)",
        database="the database to compare (default: the live one)",
        dsn="compare what this leads to, on any server: postgresql://user@host/database, or service=… dbname=…",
    ),
)
def compare(
    context: Context,
    dump: str = "latest",
    database: str | None = None,
    dsn: str | None = None,
    stack: str = "",
    json: bool = False,
) -> None:
    """Compare a database with a generation, and name each difference. Exit 0: equal, 4: not.

    For example:
      inv compare
      inv compare --dump=20261124-030000 --database=cn__incoming_20261124-031500
    """
    from cn_ops.errors import ExitCode, UsageError
    from cn_ops.report.documents import comparison_document
    from cn_ops.report.terminal import comparison_result
    from cn_ops.tasks.setup import prepared
    from cn_ops.tasks.show import print_json, show
    from cn_ops.tasks.verify_run import run_compare

    # An empty one is an unset variable of a script: the live database would be compared instead of the one meant.
    for option, text in (("--database", database), ("--dsn", dsn)):
        if text is not None and not text.strip():
            raise UsageError(f"{option} is empty", state="nothing was changed", hint="name one, or leave it out")
    if dsn and (database or stack):
        raise UsageError(
            "--dsn names stack and database: leave --stack and --database out", state="nothing was changed"
        )
    with prepared(stack) as ready:
        subject, comparison = run_compare(ready, dump, database or "", dsn or "")
    with ending_with(ExitCode.OK if comparison.equal else ExitCode.NOT_EQUAL):
        if json:
            print_json(comparison_document(subject.database, subject.dump, comparison))
        else:
            show(comparison_result(comparison))
