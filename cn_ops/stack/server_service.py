"""Connection services: named parameters in libpq's `pg_service.conf`.

They are read here, and not left to libpq: the client tools and psycopg may bring two libraries that look for the
file in two places, and what it does not say would be filled in from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cn_ops.errors import OpsError
from cn_ops.files import explained
from cn_ops.stack.server_dsn import BadDsn

FILE_NAME = "pg_service.conf"
# Where distributions keep the file of the whole system.
SYSTEM_FOLDERS = ("/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc")


def service_parameters(given: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return a DSN's parameters and, below them, those of the service that it names; raises ``BadDsn``."""
    own = {name: value for name, value in given.items() if name not in ("service", "servicefile")}
    name = given.get("service", "")
    looked = []
    for file in _files(given.get("servicefile", ""), environment):
        looked.append(str(file))
        found = _read(file, name)
        if found is not None:
            return {**found, **own}
    raise BadDsn(f"names the service {name!r}, which is in none of {', '.join(looked)}")


def _files(named: str, environment: Mapping[str, str]) -> Iterator[Path]:
    own = named or environment.get("PGSERVICEFILE", "")
    yield Path(own) if own else Path(environment.get("HOME") or "~").expanduser() / f".{FILE_NAME}"
    folder = environment.get("PGSYSCONFDIR", "")
    for system in (folder,) if folder else SYSTEM_FOLDERS:
        yield Path(system) / FILE_NAME


def _read(file: Path, name: str) -> dict[str, str] | None:
    """Return a service's parameters, each as it is given first, or None when the file does not have it."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise BadDsn(f"names a service, and {file} is not UTF-8") from None
    except OSError as error:
        refusal: OpsError = explained(error, file, "read")
        raise BadDsn(f"names a service: {refusal.message}") from error
    found: dict[str, str] | None = None
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if found is not None:
                return found
            found = {} if line == f"[{name}]" else None
        elif found is not None:
            key, equals, value = line.partition("=")
            if not equals or key in ("service", "servicefile") or key.startswith("ldap:"):
                raise BadDsn(f"names the service {name!r}, whose line {number} in {file} cannot be used")
            found.setdefault(key, value)
    return found
