"""avirt's errors, as the simulated world raises them → libvirt's, as a daemon answers them."""

from __future__ import annotations

from typing import Final

from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.errors import Aborted, AlreadyExists, AvirtError, InvalidArgument, InvalidOperation, NotFound, Unsupported

__all__ = [
    "ACCESS_DENIED",
    "AUTH_FAILED",
    "INTERNAL_ERROR",
    "INVALID_ARG",
    "NO_CONNECT",
    "NO_DOMAIN",
    "NO_SUPPORT",
    "OPERATION_DENIED",
    "OPERATION_TIMEOUT",
    "RPC",
    "XML_ERROR",
    "as_remote",
    "remote_error",
]

# virErrorNumber
INTERNAL_ERROR: Final = 1
NO_SUPPORT: Final = 3
NO_CONNECT: Final = 5
INVALID_ARG: Final = 8
XML_ERROR: Final = 27
OPERATION_DENIED: Final = 29
NO_DOMAIN: Final = 42
RPC: Final = 39
AUTH_FAILED: Final = 45
OPERATION_TIMEOUT: Final = 68
ACCESS_DENIED: Final = 88

FROM_RPC: Final = 7
"""virErrorDomain: VIR_FROM_RPC."""

_LEVEL_ERROR: Final = 2

_PREFIXES: Final = {
    # virErrorMsg in src/util/virerror.c
    INTERNAL_ERROR: "internal error: ",
    INVALID_ARG: "invalid argument: ",
    9: "operation failed: ",
    55: "Requested operation is not valid: ",
}

_CODES: Final[tuple[tuple[type[AvirtError], int], ...]] = (
    # what the world does not number itself; the first that fits
    (NotFound, 42),
    (AlreadyExists, 9),
    (InvalidOperation, 55),
    (InvalidArgument, INVALID_ARG),
    (Unsupported, NO_SUPPORT),
    (Aborted, 78),
)


def remote_error(code: int, text: str, *, domain: int = FROM_RPC, int1: int = -1) -> RemoteError:
    """libvirt's error with this number. `int1`: of a SYSTEM_ERROR, the errno."""
    return RemoteError(code, domain, text, _LEVEL_ERROR, None, "%s", text, None, int1, -1, None)


def as_remote(error: AvirtError, domain: int, *, code: int | None = None) -> RemoteError:
    """What a daemon answers where the world raised this. `domain`: the inner driver's number."""
    if code is None and isinstance(error.code, int):
        code = error.code
    if code is None:
        code = next((number for kind, number in _CODES if isinstance(error, kind)), INTERNAL_ERROR)
    return remote_error(code, _PREFIXES.get(code, "") + (error.native or error.message), domain=domain)
