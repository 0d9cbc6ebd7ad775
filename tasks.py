"""The tasks of this project: `inv --list`."""

from cn_ops.tasks import namespace

ns = namespace()
