"""libvirt's errors → avirt's. Total over virErrorNumber; unknown numbers are `NativeError`. Follows libvirt-wire.md §7.

Texts are in the server's language and decide nothing, but for the two that libvirt's own client compares as well. The
same fact has different codes per inner driver, so no code is read as "already in that state": that takes a fresh read.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

import msgspec

from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.errors import (
    Aborted,
    AccessDenied,
    AlreadyExists,
    AmbiguousName,
    AuthError,
    AvirtError,
    Busy,
    CannotConnect,
    InvalidArgument,
    InvalidOperation,
    NativeError,
    NotFound,
    ResourceError,
    Unsupported,
)

__all__ = ["DRIVER", "ERRNOS", "ERRORS", "NO_DOMAIN", "NO_SUPPORT", "Row", "native_error"]

DRIVER: Final = "libvirt"

NO_SUPPORT: Final = 3
NO_DOMAIN: Final = 42
SYSTEM_ERROR: Final = 38
RPC: Final = 39

# VIR_FROM_RPC and VIR_FROM_REMOTE: who says "unknown procedure".
_RPC_DOMAINS: Final = frozenset({7, 13})


class Row(msgspec.Struct, frozen=True):
    """What becomes of a code.

    Attributes:
        name: virErrorNumber's, without VIR_ERR_.
        error: the class.
        hint: what the user can do.
        retryable: None is the class's own.
    """

    name: str
    error: type[AvirtError] = NativeError
    hint: str = ""
    retryable: bool | None = None


_AGENT: Final = "is the guest agent installed and running in the domain? It answers once the guest has booted"
_DAEMON_LOG: Final = "the daemon's log on the host says more"
_OTHER_DAEMON: Final = "the daemon for it is not running on that host, or was not built"
_XML: Final = "check the XML against libvirt's format; `virt-xml-validate` shows where it is wrong"

# virErrorNumber, include/libvirt/virterror.h.
ERRORS: Final[Mapping[int, Row]] = {
    0: Row("OK"),
    1: Row("INTERNAL_ERROR", hint=_DAEMON_LOG),
    2: Row("NO_MEMORY", ResourceError, "the host is out of memory"),
    3: Row("NO_SUPPORT", Unsupported, "this hypervisor's driver in libvirt, or this old a libvirt, does not have it"),
    4: Row("UNKNOWN_HOST"),
    5: Row("NO_CONNECT", CannotConnect, "this daemon has no driver for that URI", retryable=False),
    6: Row("INVALID_CONN"),
    7: Row("INVALID_DOMAIN", InvalidArgument),
    8: Row("INVALID_ARG", InvalidArgument),
    9: Row("OPERATION_FAILED", hint=_DAEMON_LOG),
    10: Row("GET_FAILED"),
    11: Row("POST_FAILED"),
    12: Row("HTTP_ERROR"),
    13: Row("SEXPR_SERIAL"),
    14: Row("NO_XEN", hint="the host does not run under Xen"),
    15: Row("XEN_CALL"),
    16: Row("OS_TYPE", Unsupported),
    17: Row("NO_KERNEL", InvalidArgument),
    18: Row("NO_ROOT", InvalidArgument),
    19: Row("NO_SOURCE", InvalidArgument),
    20: Row("NO_TARGET", InvalidArgument),
    21: Row("NO_NAME", InvalidArgument),
    22: Row("NO_OS", InvalidArgument),
    23: Row("NO_DEVICE", InvalidArgument),
    24: Row("NO_XENSTORE", hint="the host does not run under Xen, or xenstored does not run"),
    25: Row("DRIVER_FULL", ResourceError),
    26: Row("CALL_FAILED"),
    27: Row("XML_ERROR", InvalidArgument, _XML),
    28: Row("DOM_EXIST", AlreadyExists),
    29: Row(
        "OPERATION_DENIED", AccessDenied, "the connection is read-only: connect without -r, to the read-write socket"
    ),
    30: Row("OPEN_FAILED"),
    31: Row("READ_FAILED"),
    32: Row("PARSE_FAILED"),
    33: Row("CONF_SYNTAX"),
    34: Row("WRITE_FAILED"),
    35: Row("XML_DETAIL", InvalidArgument, _XML),
    36: Row("INVALID_NETWORK", InvalidArgument),
    37: Row("NETWORK_EXIST", AlreadyExists),
    38: Row("SYSTEM_ERROR", hint=_DAEMON_LOG),
    39: Row("RPC"),
    40: Row("GNUTLS_ERROR", hint="check the TLS certificates of that host"),
    41: Row("NO_NETWORK_DRIVER", Unsupported, _OTHER_DAEMON),
    42: Row("NO_DOMAIN", NotFound),
    43: Row("NO_NETWORK", NotFound),
    44: Row("INVALID_MAC", InvalidArgument),
    45: Row("AUTH_FAILED", AuthError, "the server refused the credentials, or polkit the user"),
    46: Row("INVALID_STORAGE_POOL", InvalidArgument),
    47: Row("INVALID_STORAGE_VOL", InvalidArgument),
    48: Row("NO_STORAGE_DRIVER", Unsupported, _OTHER_DAEMON),
    49: Row("NO_STORAGE_POOL", NotFound),
    50: Row("NO_STORAGE_VOL", NotFound),
    51: Row("NO_NODE_DRIVER", Unsupported, _OTHER_DAEMON),
    52: Row("INVALID_NODE_DEVICE", InvalidArgument),
    53: Row("NO_NODE_DEVICE", NotFound),
    54: Row("NO_SECURITY_MODEL", Unsupported, "the host has no such security driver in use"),
    55: Row("OPERATION_INVALID", InvalidOperation),
    56: Row("NO_INTERFACE_DRIVER", Unsupported, _OTHER_DAEMON),
    57: Row("NO_INTERFACE", NotFound),
    58: Row("INVALID_INTERFACE", InvalidArgument),
    59: Row("MULTIPLE_INTERFACES", AmbiguousName),
    60: Row("NO_NWFILTER_DRIVER", Unsupported, _OTHER_DAEMON),
    61: Row("INVALID_NWFILTER", InvalidArgument),
    62: Row("NO_NWFILTER", NotFound),
    63: Row("BUILD_FIREWALL"),
    64: Row("NO_SECRET_DRIVER", Unsupported, _OTHER_DAEMON),
    65: Row("INVALID_SECRET", InvalidArgument),
    66: Row("NO_SECRET", NotFound),
    67: Row("CONFIG_UNSUPPORTED", InvalidArgument, "the domain's configuration asks for what this host does not have"),
    68: Row("OPERATION_TIMEOUT", Busy, "another job holds the domain; try again when it is done"),
    69: Row("MIGRATE_PERSIST_FAILED"),
    70: Row("HOOK_SCRIPT_FAILED", hint="a hook script in /etc/libvirt/hooks refused; its own log says why"),
    71: Row("INVALID_DOMAIN_SNAPSHOT", InvalidArgument),
    72: Row("NO_DOMAIN_SNAPSHOT", NotFound),
    73: Row("INVALID_STREAM", InvalidArgument),
    74: Row("ARGUMENT_UNSUPPORTED", Unsupported),
    75: Row("STORAGE_PROBE_FAILED"),
    76: Row("STORAGE_POOL_BUILT", AlreadyExists),
    77: Row(
        "SNAPSHOT_REVERT_RISKY", InvalidOperation, "the snapshot does not say all: revert with force if you are sure"
    ),
    78: Row("OPERATION_ABORTED", Aborted),
    79: Row("AUTH_CANCELLED", AuthError, "the polkit prompt was dismissed"),
    80: Row("NO_DOMAIN_METADATA", NotFound),
    81: Row(
        "MIGRATE_UNSAFE", InvalidOperation, "a disk's cache could be left behind: cache=none, or migrate as unsafe"
    ),
    82: Row("OVERFLOW", InvalidArgument),
    83: Row("BLOCK_COPY_ACTIVE", InvalidOperation, "end the block copy job first"),
    84: Row("OPERATION_UNSUPPORTED", Unsupported),
    85: Row("SSH"),
    86: Row("AGENT_UNRESPONSIVE", Busy, _AGENT),
    87: Row("RESOURCE_BUSY", Busy),
    88: Row("ACCESS_DENIED", AccessDenied, "polkit on that host does not allow it to this user"),
    89: Row("DBUS_SERVICE", hint="a system service that libvirt asks by D-Bus failed; see its log"),
    90: Row("STORAGE_VOL_EXIST", AlreadyExists),
    91: Row("CPU_INCOMPATIBLE", hint="the host's CPU lacks what the domain asks for; see `virsh cpu-compare`"),
    92: Row("XML_INVALID_SCHEMA", InvalidArgument, _XML),
    93: Row("MIGRATE_FINISH_OK"),
    94: Row(
        "AUTH_UNAVAILABLE",
        AuthError,
        "polkit wants to ask, and nobody is there to answer: become root, or a member of the group libvirt",
    ),
    95: Row("NO_SERVER", NotFound),
    96: Row("NO_CLIENT", NotFound),
    97: Row("AGENT_UNSYNCED", Busy, _AGENT),
    98: Row("LIBSSH"),
    99: Row("DEVICE_MISSING", NotFound),
    100: Row("INVALID_NWFILTER_BINDING", InvalidArgument),
    101: Row("NO_NWFILTER_BINDING", NotFound),
    102: Row("INVALID_DOMAIN_CHECKPOINT", InvalidArgument),
    103: Row("NO_DOMAIN_CHECKPOINT", NotFound),
    104: Row("NO_DOMAIN_BACKUP", NotFound),
    105: Row("INVALID_NETWORK_PORT", InvalidArgument),
    106: Row("NETWORK_PORT_EXIST", AlreadyExists),
    107: Row("NO_NETWORK_PORT", NotFound),
    108: Row("NO_HOSTNAME", NotFound),
    109: Row("CHECKPOINT_INCONSISTENT", InvalidOperation),
    110: Row("MULTIPLE_DOMAINS", AmbiguousName, "give the uuid"),
    111: Row("NO_NETWORK_METADATA", NotFound),
    112: Row("AGENT_COMMAND_TIMEOUT", Busy, _AGENT),
    113: Row("AGENT_COMMAND_FAILED", hint="the guest agent refused; its log in the guest says why"),
    114: Row("INVALID_ENCR_KEY_SECRET", InvalidArgument),
}

_UNKNOWN: Final = Row("", hint="this libvirt is newer than avirt's table of errors; the number is libvirt's")

# int1 of a SYSTEM_ERROR is an errno.
ERRNOS: Final[Mapping[int, tuple[type[AvirtError], str]]] = {
    errno.ENOMEM: (ResourceError, "the host is out of memory"),
    errno.ENOSPC: (ResourceError, "a file system of the host is full"),
    errno.EDQUOT: (ResourceError, "a disk quota of the host is exhausted"),
    errno.EMFILE: (ResourceError, "the daemon has too many files open"),
    errno.ENFILE: (ResourceError, "the host has too many files open"),
    errno.EBUSY: (Busy, ""),
    errno.EAGAIN: (Busy, ""),
    errno.ETXTBSY: (Busy, ""),
}


def native_error(error: RemoteError, *, verb: str = "", domain: str = "", host: str = "") -> AvirtError:
    """The exception for an error that a server answered, or that ended a stream.

    Level "warning" in an answer means that the call failed, too.

    Args:
        error: as decoded.
        verb, domain, host: where it happened, as far as known.
    """
    row = ERRORS.get(error.code, _UNKNOWN)
    native = error.message or ""
    cls, hint = row.error, row.hint
    if error.code == RPC and _is_missing(error.domain, native):
        cls, hint = Unsupported, "this libvirt is too old, or was built without it"
    elif error.code == SYSTEM_ERROR and error.int1 in ERRNOS:
        cls, hint = ERRNOS[error.int1]
    return cls(
        native or f"libvirt's error {error.code}{f' ({row.name})' if row.name else ''}",
        hint=hint,
        driver=DRIVER,
        host=host,
        domain=domain,
        verb=verb,
        code=error.code,
        native=native,
        retryable=row.retryable,
    )


def _is_missing(domain: int, text: str) -> bool:
    """The server does not know the procedure, or the whole program: the two texts that the reference client matches."""
    return (domain in _RPC_DOMAINS and text.startswith("unknown procedure")) or text.startswith("Cannot find program")
