"""QMP's errors → avirt's. Total: an unknown class is a `NativeError`. Follows reference/drivers.md §1, "Errors".

QMP has five classes (qapi/error.json) and puts nearly everything into GenericError, whose text is for people and may
change. Only the few texts of `TEXTS` are looked at: each names a fact that no class and no other call tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from avirt.errors import (
    AlreadyExists,
    AlreadyInState,
    AvirtError,
    Busy,
    InvalidOperation,
    NativeError,
    NotFound,
    Unsupported,
)

__all__ = ["DRIVER", "ERRORS", "TEXTS", "Row", "native_error"]

DRIVER: Final = "qemu"


class Row(msgspec.Struct, frozen=True):
    """What becomes of an error, and what the user can do."""

    error: type[AvirtError] = NativeError
    hint: str = ""


ERRORS: Final[Mapping[str, Row]] = {
    # qapi/error.json, QapiErrorClass
    "GenericError": Row(),
    "CommandNotFound": Row(Unsupported, "this QEMU is too old for that command, or was built without it"),
    "DeviceNotActive": Row(InvalidOperation, "the domain has no such device, or the guest has not enabled it"),
    "DeviceNotFound": Row(NotFound),
    "KVMMissingCap": Row(Unsupported, "the host's KVM lacks what that needs"),
}

_UNKNOWN: Final = Row(hint="this QEMU is newer than avirt's table of errors; the class is QEMU's")

TEXTS: Final[Mapping[str, Row]] = {
    # GenericErrors with this in their text. Seen on 7.2, but for the first: softmmu/qdev-monitor.c, qmp_device_del
    "is already in the process of unplug": Row(AlreadyInState, "wait for DEVICE_DELETED: the guest was asked before"),
    "Resetting the Virtual Machine is required": Row(InvalidOperation, "the guest is off or broken: reset it first"),
    "guest is not in suspended state": Row(InvalidOperation),
    "wake-up from suspend is not supported": Row(Unsupported, "this machine type can't be woken up"),
    "There's a migration process in progress": Row(Busy, "wait for that migration, or cancel it"),
    "Duplicate device ID '": Row(AlreadyExists),
    "Duplicate ID '": Row(AlreadyExists),
    "Duplicate nodes with node-name=": Row(AlreadyExists),
    "attempt to add duplicate property '": Row(AlreadyExists),
}

_NOT_NEGOTIATED: Final = Row(Unsupported, "nothing was negotiated on this connection yet")
"""QEMU says CommandNotFound to any command before `qmp_capabilities`, too (seen on 7.2)."""


def native_error(error_class: str, desc: str, *, verb: str = "", domain: str = "", host: str = "") -> AvirtError:
    """The exception for an error reply.

    Args:
        error_class, desc: as QEMU sent them.
        verb, domain, host: where it happened, as far as known.
    """
    row = ERRORS.get(error_class, _UNKNOWN)
    if error_class == "GenericError":
        row = next((row for text, row in TEXTS.items() if text in desc), row)
    elif error_class == "CommandNotFound" and desc.startswith("Expecting capabilities negotiation"):
        row = _NOT_NEGOTIATED
    return row.error(
        desc or f"QEMU's error {error_class}",
        hint=row.hint,
        driver=DRIVER,
        host=host,
        domain=domain,
        verb=verb,
        code=error_class,
        native=desc,
    )
