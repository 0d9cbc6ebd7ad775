"""`inv config`."""

from __future__ import annotations

from invoke.context import Context

from cn_ops.tasks.guard import command, help_of


@command(reads=True, help=help_of("stack", "json", schema="print the JSON Schema of cn_ops.yaml, for editors"))
def config(context: Context, stack: str = "", schema: bool = False, json: bool = False) -> None:
    """Show the settings in effect and where each comes from; secrets are masked.

    For example:
      inv config
      inv config --json
      inv config --schema > cn_ops.schema.json
    """
    from cn_ops.report.settings_table import settings_table
    from cn_ops.settings.describe import document, effective, json_schema
    from cn_ops.tasks.setup import prepared
    from cn_ops.tasks.show import print_json, show

    if schema:
        print_json(json_schema())
        return
    with prepared(stack) as ready:
        loaded = ready.loaded
    if json:
        print_json(document(loaded))
    else:
        rows = [(one.path, one.value, one.source) for one in effective(loaded)]
        show(f"file: {loaded.file or 'none'}", f"root: {loaded.root}", settings_table(rows))
