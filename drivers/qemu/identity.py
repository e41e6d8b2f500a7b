"""Who answers a monitor: the domain's key and name. Pure. Follows reference/drivers.md §1, "Identity"."""

from __future__ import annotations

from pathlib import PurePosixPath
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from avirt.model.record import Key

__all__ = ["Identity", "identity"]


class Identity(msgspec.Struct, frozen=True):
    """Who answers a monitor. `synthetic`: QEMU was given no uuid, so this one stands for the place of its monitor."""

    key: Key
    name: str
    synthetic: bool = False


def identity(place: str, uuid: str | None, name: str | None) -> Identity:
    """From the replies of `query-uuid` and `query-name`.

    Args:
        place: where the monitor is, the same at every connection: the path of its socket.
        uuid: zeros, or None: it was given none.
        name: None: it was given none; the file's name without its suffix stands for it.
    """
    try:
        key = UUID(uuid or "0").bytes
    except ValueError:
        key = bytes(16)
    called = name or PurePosixPath(place).stem or place
    if any(key):
        return Identity(Key(key), called)
    return Identity(Key(uuid5(NAMESPACE_URL, f"qmp:{place}").bytes), called, synthetic=True)
