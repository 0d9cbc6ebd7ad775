"""Settings of a node whose server a DSN names: its database and role are the live ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

from cn_ops.errors import SettingsError
from cn_ops.masking import remember
from cn_ops.settings.load import DEFAULT, Loaded
from cn_ops.settings.types import Name
from cn_ops.stack.server_address import Address, address_of
from cn_ops.stack.server_dsn import BadDsn, parse_dsn

DSN = "stack.server.dsn"
DISPOSABLE = "stack.disposable"
# What the server is called beside the writers, unless stack.postgres.service says so.
SERVICE = "server"


def with_server(loaded: Loaded, environment: Mapping[str, str]) -> Loaded:
    """Take the live database and the role from the DSN, if the stack is a server, and mask its password.

    Raises ``SettingsError`` for a DSN that cannot be used, also when another kind of stack is chosen.
    """
    server = loaded.settings.stack.server
    try:
        if loaded.settings.stack.kind == "server":
            return _not_disposable_by_the_way(
                _replaced(loaded, _checked(address_of(loaded.settings.stack, environment)))
            )
        if server.dsn is not None:
            remember(parse_dsn(server.dsn.get_secret_value()).get("password"))
    except BadDsn as error:
        raise SettingsError([f"{DSN}: {error} ({loaded.sources[DSN]})"]) from error
    return loaded


def _not_disposable_by_the_way(loaded: Loaded) -> Loaded:
    """Leave out that the file calls its stack disposable, when `--stack` alone has led to this server."""
    stack, declared = loaded.settings.stack, loaded.sources[DISPOSABLE]
    by_the_way = loaded.sources["stack.kind"].startswith("option ") and not declared.startswith("environment ")
    if not (stack.disposable and by_the_way):
        return loaded
    return replace(
        loaded,
        settings=loaded.settings.model_copy(update={"stack": stack.model_copy(update={"disposable": None})}),
        sources=MappingProxyType({**loaded.sources, DISPOSABLE: DEFAULT}),
        warnings=(
            *loaded.warnings,
            f"{DISPOSABLE} ({declared}) is not taken to be about this server: set stack.kind: server beside it",
        ),
    )


def _checked(address: Address) -> Address:
    for what, name in (("database", address.database), ("user", address.user)):
        try:
            TypeAdapter[str](Name).validate_python(name)
        except ValidationError:
            raise BadDsn(f"names a {what} with more than 63 bytes or with control characters") from None
    return address


def _replaced(loaded: Loaded, address: Address) -> Loaded:
    stack = loaded.settings.stack
    found = {"database": address.database, "user": address.user}
    if "service" not in stack.postgres.model_fields_set:
        found["service"] = SERVICE
    postgres = stack.postgres.model_copy(update=found)
    sources = {**loaded.sources, **{f"stack.postgres.{name}": loaded.sources[DSN] for name in found}}
    return replace(
        loaded,
        settings=loaded.settings.model_copy(update={"stack": stack.model_copy(update={"postgres": postgres})}),
        sources=MappingProxyType(sources),
    )
