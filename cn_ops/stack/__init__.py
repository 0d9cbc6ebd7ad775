"""Stacks: what runs the node."""

from cn_ops.stack.base import Server, Stack, StartableServer
from cn_ops.stack.choose import Choice, choose

__all__ = ["Choice", "Server", "Stack", "StartableServer", "choose"]
