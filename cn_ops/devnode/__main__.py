"""Run the demo node's commands: ``python -m cn_ops.devnode``."""

import sys

from cn_ops.devnode.cli import main

if __name__ == "__main__":
    sys.exit(main())
