"""Where a server is and who we are there: the DSN, its service and the settings, made complete.

Everything that leads to a server and a database is said explicitly, so that nothing in the environment leads
elsewhere; certificates and passwords may still come from there, as libpq's users keep them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from cn_ops.masking import remember
from cn_ops.settings import StackSettings
from cn_ops.stack.server_dsn import BadDsn, parse_dsn
from cn_ops.stack.server_service import service_parameters

DEFAULT_PORT = "5432"
# libpq's parameters and the variables by which the client tools take them: their arguments are seen by everybody.
VARIABLES = {
    name: f"PG{variable}"
    for name, variable in {
        "host": "HOST",
        "hostaddr": "HOSTADDR",
        "port": "PORT",
        "dbname": "DATABASE",
        "user": "USER",
        "password": "PASSWORD",
        "passfile": "PASSFILE",
        "options": "OPTIONS",
        "connect_timeout": "CONNECT_TIMEOUT",
        "sslmode": "SSLMODE",
        "sslnegotiation": "SSLNEGOTIATION",
        "sslcompression": "SSLCOMPRESSION",
        "sslcert": "SSLCERT",
        "sslkey": "SSLKEY",
        "sslrootcert": "SSLROOTCERT",
        "sslcrl": "SSLCRL",
        "sslcrldir": "SSLCRLDIR",
        "sslsni": "SSLSNI",
        "sslcertmode": "SSLCERTMODE",
        "ssl_min_protocol_version": "SSLMINPROTOCOLVERSION",
        "ssl_max_protocol_version": "SSLMAXPROTOCOLVERSION",
        "requirepeer": "REQUIREPEER",
        "require_auth": "REQUIREAUTH",
        "channel_binding": "CHANNELBINDING",
        "gssencmode": "GSSENCMODE",
        "krbsrvname": "KRBSRVNAME",
        "gsslib": "GSSLIB",
        "gssdelegation": "GSSDELEGATION",
        "target_session_attrs": "TARGETSESSIONATTRS",
        "load_balance_hosts": "LOADBALANCEHOSTS",
        "min_protocol_version": "MINPROTOCOLVERSION",
        "max_protocol_version": "MAXPROTOCOLVERSION",
    }.items()
}
# What cn-ops chooses itself: these say nothing of where the server is.
OURS = ("application_name", "fallback_application_name", "client_encoding")
# Of the environment, only what proves who we are and that the server is the right one.
AMBIENT = re.compile(r"PG(PASSWORD|PASSFILE|SSL.*|SERVICEFILE|SYSCONFDIR|CHANNELBINDING|REQUIREAUTH|GSS.*|KRB.*)")


@dataclass(frozen=True)
class Address:
    """A server and its live database; ``user`` is who we are there."""

    parameters: Mapping[str, str]

    @property
    def database(self) -> str:
        """The live database."""
        return self.parameters["dbname"]

    @property
    def user(self) -> str:
        """The role."""
        return self.parameters["user"]

    @property
    def where(self) -> str:
        """Host and port, for people."""
        hosts = (self.parameters.get("host") or self.parameters["hostaddr"]).split(",")
        ports = self.parameters["port"].split(",")
        ports = ports if len(ports) == len(hosts) else ports * len(hosts)
        return ",".join(
            f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one, port in zip(hosts, ports, strict=True)
        )

    @property
    def slug(self) -> str:
        """What tells this database from others in the name of a file."""
        key = f"{self.where}/{self.database}"
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", self.where).strip("-.")[:60]
        return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    @property
    def url(self) -> str:
        """The same as a URL, for programs that know no other form; it holds the password."""
        rest = {name: value for name, value in self.parameters.items() if name not in ("user", "password", "dbname")}
        host, port = rest.get("host", ""), rest["port"]
        authority = ""
        if host and not set("/,") & set(host):
            authority = f"{f'[{host}]' if ':' in host else quote(host, safe='')}:{port}"
            rest = {name: value for name, value in rest.items() if name not in ("host", "port")}
        password = self.parameters.get("password", "")
        login = quote(self.user, safe="") + (f":{quote(password, safe='')}" if password else "")
        query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
        return f"postgresql://{login}@{authority}/{quote(self.database, safe='')}{query}"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that leads a client tool to this server and to no other."""
        kept = {
            name: value for name, value in inherited.items() if not name.startswith("PG") or AMBIENT.fullmatch(name)
        }
        return {**kept, **{VARIABLES[name]: value for name, value in self.parameters.items()}}


def address_of(stack: StackSettings, environment: Mapping[str, str]) -> Address:
    """Return where the settings' server is; raises ``BadDsn``.

    A role and a password that the DSN does not give are those of `stack.postgres`, if they are set there.
    """
    if stack.server.dsn is None:
        raise BadDsn("is needed for stack.kind server: `postgresql://user@host/database`")
    postgres = stack.postgres
    others = {"user": postgres.user} if "user" in postgres.model_fields_set else {}
    if postgres.password is not None:
        others["password"] = postgres.password.get_secret_value()
    address = address_of_dsn(stack.server.dsn.get_secret_value(), environment, others)
    for name, there, what in (
        ("database", address.database, postgres.database),
        ("user", address.user, postgres.user),
    ):
        if name in postgres.model_fields_set and there != what:
            raise BadDsn(f"names the {name} {there!r}, and stack.postgres.{name} is {what!r}: leave that one out")
    return address


def address_of_dsn(dsn: str, environment: Mapping[str, str], others: Mapping[str, str] | None = None) -> Address:
    """Return where a DSN leads, complete; raises ``BadDsn``. Its secrets are masked from now on."""
    given = parse_dsn(dsn)
    if given.get("password"):
        remember(given["password"])
        remember(dsn)
    if "service" in given or "servicefile" in given:
        given = service_parameters(given, environment)
        remember(given.get("password"))
    given = {name: value for name, value in given.items() if value and name not in OURS}
    _refuse_unknown(given)
    given = {**(others or {}), **given}
    for name, what in (("dbname", "database"), ("user", "user")):
        if name not in given:
            raise BadDsn(f"names no {what}: write {name}=… or `postgresql://user@host/database`")
    if "host" not in given and "hostaddr" not in given:
        raise BadDsn("names no host: the folder of a Unix socket is one as well, as in host=/var/run/postgresql")
    given.setdefault("port", DEFAULT_PORT)
    _check_ports(given)
    if "," in (given.get("host") or given["hostaddr"]):
        # Every connection must lead to the same server: a snapshot exists on the one that exported it.
        given.setdefault("target_session_attrs", "read-write")
    return Address(given)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    for name in given:
        if name not in VARIABLES:
            near = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise BadDsn(f"has a parameter {name!r} that the client tools cannot be given: {hint}")


def _check_ports(given: Mapping[str, str]) -> None:
    hosts = len((given.get("host") or given["hostaddr"]).split(","))
    ports = given["port"].split(",")
    if len(ports) not in (1, hosts):
        raise BadDsn("has another number of ports than of hosts")
    if any(port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536) for port in ports):
        raise BadDsn("has a port that is none: 1 to 65535")
