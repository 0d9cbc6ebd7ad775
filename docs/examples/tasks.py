"""Tasks of a repository that runs a community node: those of cn-ops, and room for its own.

Save it as tasks.py beside cn_ops.yaml. `inv --list` then shows every verb of cn-ops.
"""

from cn_ops.tasks import namespace

ns = namespace()
