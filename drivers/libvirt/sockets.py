"""From a URI to the daemon's unix socket and the name that `connect_open` gets; what is there without any URI.

Pure: the caller gives the surroundings. Follows reference/libvirt-wire.md §12 and §13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from avirt.errors import InvalidURI, Unsupported
from avirt.uri import URI, parse_uri

__all__ = [
    "CLIENT_PARAMETERS",
    "HYPERVISORS",
    "SECONDARIES",
    "Found",
    "Surroundings",
    "Target",
    "find_hypervisors",
    "open_name",
    "resolve",
]

HYPERVISORS: Final = ("xen", "qemu", "lxc", "vbox", "bhyve", "vz", "ch")
"""Drivers with a modular daemon of their own, virtDRVd, in the order in which libvirt looks for them."""

SECONDARIES: Final = ("network", "storage", "nodedev", "secret", "nwfilter", "interface")
"""The same, without domains."""

_ALIASES: Final = {"parallels": "vz"}

_SYSTEM: Final = "/var/run/libvirt"

_TRANSPORTS: Final = ("unix", "tls", "tcp", "ssh", "libssh", "libssh2", "ext")

CLIENT_PARAMETERS: Final = frozenset(
    {
        "argv",
        "auth",
        "authfile",
        "command",
        "keyfile",
        "known_hosts",
        "known_hosts_verify",
        "mode",
        "name",
        "netcat",
        "no_sanity",
        "no_tty",
        "no_verify",
        "pkipath",
        "proxy",
        "socket",
        "sshauth",
        "tls_priority",
    }
)
"""Query parameters that are for the client, and not passed on (§12)."""


class Mode(StrEnum):
    """The kind of daemon that the parameter `mode` asks for."""

    AUTO = "auto"
    LEGACY = "legacy"
    DIRECT = "direct"


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What decides besides the URI.

    Attributes:
        environ: environment variables.
        uid: the user's number.
        exists: whether there is such a file.
    """

    environ: Mapping[str, str]
    uid: int
    exists: Callable[[str], bool]

    @property
    def runtime_dir(self) -> str:
        """Where the user's own daemons have their sockets."""
        folder = self.environ.get("XDG_RUNTIME_DIR") or self.environ.get("XDG_CACHE_HOME")
        return f"{folder or self.environ.get('HOME', '') + '/.cache'}/libvirt"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, and what to ask for there.

    Attributes:
        path: of the unix socket; a leading '@' is the abstract namespace.
        name: for `connect_open`; "" lets the daemon choose.
        read_only: ask for a read-only connection.
        auth: the parameter `auth`: "", "polkit", "sasl" or "sasl.MECHANISM".
        daemon: the program that serves this socket, for hints.
        is_session: it is a daemon of the user's, not the system's.
    """

    path: str
    name: str
    read_only: bool = False
    auth: str = ""
    daemon: str = "libvirtd"
    is_session: bool = False


def resolve(uri: URI, around: Surroundings, *, read_only: bool = False) -> Target:
    """The socket of a URI.

    Raises:
        InvalidURI: an unknown transport, a host with a unix socket, a bad `mode`, `auth` or `socket`.
        Unsupported: a transport that is not available.
    """
    _check_transport(uri)
    is_session = around.uid != 0 and (uri.path == "/session" or uri.scheme == "test")
    path, daemon = _socket(uri, around, is_session=is_session, read_only=read_only)
    if (given := uri.param("socket")) is not None:
        if not given.startswith(("/", "@")):
            raise InvalidURI(f"socket={given} is no absolute path", hint="e.g. socket=/run/libvirt/libvirt-sock")
        path = given
    return Target(
        path=path, name=open_name(uri), read_only=read_only, auth=_auth(uri), daemon=daemon, is_session=is_session
    )


def open_name(uri: URI) -> str:
    """What `connect_open` gets: the URI without transport, host and what is for the client."""
    if (name := uri.param("name")) is not None:
        return name
    if uri.scheme == "remote":
        return ""
    return str(URI(scheme=uri.scheme, path=uri.path, query=tuple(uri.without(CLIENT_PARAMETERS))))


def _check_transport(uri: URI) -> None:
    transport = uri.transport or ("tls" if uri.host else "unix")
    path = uri.path or "/system"
    if transport not in _TRANSPORTS:
        raise InvalidURI(f"'{transport}' is no transport of libvirt's", hint=f"one of {', '.join(_TRANSPORTS)}")
    if transport != "unix":
        raise Unsupported(
            f"{uri.scheme}+{transport} is not available: connections go through unix sockets",
            hint="run avirt on that host, or forward its socket: ssh -N -L /tmp/h.sock:/var/run/libvirt/libvirt-sock"
            f" {uri.host or 'HOST'}, then {uri.scheme}+unix://{path}?socket=/tmp/h.sock",
            driver="libvirt",
            verb="connect",
        )
    if uri.host or uri.port is not None or uri.user:
        raise InvalidURI(
            "a unix socket has no host, port or user", hint=f"for this host: {uri.scheme}+unix://{path} (three slashes)"
        )


def _auth(uri: URI) -> str:
    auth = uri.param("auth") or ""
    if auth.lower() not in ("", "none", "polkit", "sasl") and not auth.lower().startswith("sasl."):
        raise InvalidURI(f"auth={auth} is unknown", hint="one of none, polkit, sasl, sasl.MECHANISM")
    return auth


def _socket(uri: URI, around: Surroundings, *, is_session: bool, read_only: bool) -> tuple[str, str]:
    """Path and daemon, by the table of §12."""
    given = uri.param("mode") or Mode.AUTO
    try:
        mode = Mode(given.lower())
    except ValueError:
        raise InvalidURI(f"mode={given} is unknown", hint="one of auto, legacy, direct") from None
    driver = _ALIASES.get(uri.scheme, uri.scheme)
    folder = around.runtime_dir if is_session else _SYSTEM
    # session daemons have no read-only socket: a flag of connect_open asks for it
    suffix = "-sock-ro" if read_only and not is_session else "-sock"
    is_modular = driver in HYPERVISORS or (driver in SECONDARIES and not (is_session and driver == "nwfilter"))
    modular = f"virt{driver}d" if is_modular else "virtproxyd"
    if mode is Mode.DIRECT:
        if not is_modular:
            raise InvalidURI(f"'{driver}' has no daemon of its own", hint="leave mode=direct out, or mode=legacy")
        return f"{folder}/{modular}{suffix}", modular
    if mode is Mode.AUTO and is_modular and around.exists(f"{folder}/{modular}{suffix}"):
        return f"{folder}/{modular}{suffix}", modular
    return f"{folder}/libvirt{suffix}", "libvirtd"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A hypervisor of this machine.

    Attributes:
        uri: what connects to it.
        path: its socket, "" if only the environment names it.
        source: "AVIRT_URI", "LIBVIRT_DEFAULT_URI" or "socket".
    """

    uri: URI
    path: str = ""
    source: str = "socket"


def find_hypervisors(around: Surroundings) -> list[Found]:
    """What no URI means, best first: what the environment names, else all whose sockets are there.

    For a user other than root those of the user's session, then the system's: modular daemons, and the monolithic one,
    which serves several hypervisors and is asked for QEMU.

    Raises:
        InvalidURI: what the environment names is malformed.
    """
    for variable in ("AVIRT_URI", "LIBVIRT_DEFAULT_URI"):
        if text := around.environ.get(variable):
            return [Found(uri=parse_uri(text), source=variable)]
    folders = [(_SYSTEM, "/system")]
    if around.uid != 0:
        folders.insert(0, (around.runtime_dir, "/session"))
    found: list[Found] = []
    for folder, path in folders:
        modular = [driver for driver in HYPERVISORS if around.exists(f"{folder}/virt{driver}d-sock")]
        found += [Found(uri=URI(scheme=name, path=path), path=f"{folder}/virt{name}d-sock") for name in modular]
        if "qemu" not in modular and around.exists(f"{folder}/libvirt-sock"):
            found.append(Found(uri=URI(scheme="qemu", path=path), path=f"{folder}/libvirt-sock"))
    return found
