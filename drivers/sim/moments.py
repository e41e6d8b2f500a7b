"""What the simulated hypervisor tells: libvirt's events, by number and by virsh's words.

Numbers: virDomainEventType and virDomainEvent…DetailType in libvirt-domain.h (reference/libvirt-wire.md §10).
"""

from __future__ import annotations

from enum import Enum

import msgspec

from avirt.model.record import Key

__all__ = ["Moment", "WorldEvent"]


class Moment(Enum):
    """One native event: its type and detail, as numbers and as words."""

    DEFINED_ADDED = (0, 0, "Defined", "Added")
    DEFINED_UPDATED = (0, 1, "Defined", "Updated")
    DEFINED_RENAMED = (0, 2, "Defined", "Renamed")
    UNDEFINED_REMOVED = (1, 0, "Undefined", "Removed")
    UNDEFINED_RENAMED = (1, 1, "Undefined", "Renamed")
    STARTED_BOOTED = (2, 0, "Started", "Booted")
    STARTED_MIGRATED = (2, 1, "Started", "Migrated")
    STARTED_RESTORED = (2, 2, "Started", "Restored")
    STARTED_WAKEUP = (2, 4, "Started", "Event wakeup")
    SUSPENDED_PAUSED = (3, 0, "Suspended", "Paused")
    SUSPENDED_MIGRATED = (3, 1, "Suspended", "Migrated")
    SUSPENDED_IOERROR = (3, 2, "Suspended", "I/O Error")
    SUSPENDED_RESTORED = (3, 4, "Suspended", "Restored")
    RESUMED_UNPAUSED = (4, 0, "Resumed", "Unpaused")
    RESUMED_MIGRATED = (4, 1, "Resumed", "Migrated")
    RESUMED_FROM_SNAPSHOT = (4, 2, "Resumed", "Snapshot")
    STOPPED_SHUTDOWN = (5, 0, "Stopped", "Shutdown")
    STOPPED_DESTROYED = (5, 1, "Stopped", "Destroyed")
    STOPPED_CRASHED = (5, 2, "Stopped", "Crashed")
    STOPPED_MIGRATED = (5, 3, "Stopped", "Migrated")
    STOPPED_SAVED = (5, 4, "Stopped", "Saved")
    STOPPED_FAILED = (5, 5, "Stopped", "Failed")
    SHUTDOWN_BY_GUEST = (6, 1, "Shutdown", "Finished after guest request")
    SHUTDOWN_BY_HOST = (6, 2, "Shutdown", "Finished after host request")
    PMSUSPENDED_MEMORY = (7, 0, "PMSuspended", "Memory")
    CRASHED_PANICKED = (8, 0, "Crashed", "Panicked")
    REBOOT = (-1, 1, "", "")
    """Not a lifecycle event: virDomainEventID 1."""
    CONTROL_ERROR = (-1, 7, "", "")
    """Not a lifecycle event: virDomainEventID 7."""

    def __init__(self, type: int, detail: int, type_word: str, detail_word: str) -> None:
        self.type = type
        self.detail = detail
        self.type_word = type_word
        self.detail_word = detail_word


class WorldEvent(msgspec.Struct, frozen=True, gc=False):
    """A native event of one domain.

    Attributes:
        name, id: as they were when the event was made; id -1 for none.
    """

    key: Key
    name: str
    id: int
    moment: Moment
