"""How kinds of hypervisors differ in what they tell, and in which order: tables of moments.

QEMU's, LXC's and the test driver's were recorded from libvirt 9.0.0 (`tests/real/` compares them still); Xen's follow
src/libxl/libxl_driver.c and libxl_domain.c.
"""

from __future__ import annotations

from typing import Final

import msgspec

from avirt.drivers.sim.moments import Moment
from avirt.model.state import PausedReason

__all__ = ["LXC_HABITS", "QEMU_HABITS", "TEST_HABITS", "XEN_HABITS", "Habits"]


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of hypervisor. The defaults are QEMU's.

    Attributes:
        started, started_paused: told when a domain is started.
        restored, restored_paused: told when it goes on from saved memory.
        restored_reason: why a domain is paused that was restored so.
        boots_saved: a start takes the managed save image away and boots all the same.
        saving: told before saved memory of a running domain is written; told by native events meanwhile.
        iterations: how many passes over the memory are told.
        destroyed: told when a domain is destroyed.
        guest_off: told when the guest powers off, before it stops; without it there is no SHUTDOWN either.
        rebooted: told when a domain is reset or its guest reboots. SeaBIOS resets the machine once more, so it is told
            twice (at times three times).
        reboots_anew: a reboot ends the process and starts another, with a new id.
        refuses_pause: suspending what is paused is an error; else nothing.
        old_id: the stops that are told with the id that the domain had.
        old_id_transient: the same for transient domains only.
    """

    started: tuple[Moment, ...] = (Moment.RESUMED_UNPAUSED, Moment.STARTED_BOOTED)
    started_paused: tuple[Moment, ...] = (Moment.STARTED_BOOTED, Moment.SUSPENDED_PAUSED)
    restored: tuple[Moment, ...] = (Moment.STARTED_RESTORED, Moment.RESUMED_FROM_SNAPSHOT)
    restored_paused: tuple[Moment, ...] = (Moment.STARTED_RESTORED, Moment.SUSPENDED_RESTORED)
    restored_reason: PausedReason = PausedReason.MIGRATION
    boots_saved: bool = False
    saving: tuple[Moment, ...] = (Moment.SUSPENDED_PAUSED,)
    iterations: int = 2
    destroyed: tuple[Moment, ...] = (Moment.SHUTDOWN_BY_HOST, Moment.STOPPED_DESTROYED)
    guest_off: tuple[Moment, ...] = (Moment.SHUTDOWN_BY_GUEST,)
    rebooted: tuple[Moment, ...] = (Moment.REBOOT, Moment.REBOOT)
    reboots_anew: bool = False
    refuses_pause: bool = False
    # the daemon makes the event before it clears the id, where the process ended by itself
    old_id: frozenset[Moment] = frozenset({Moment.STOPPED_SHUTDOWN, Moment.STOPPED_FAILED})
    old_id_transient: frozenset[Moment] = frozenset()


QEMU_HABITS: Final = Habits()

_PLAIN: Final = Habits(
    started=(Moment.STARTED_BOOTED,),
    started_paused=(Moment.STARTED_BOOTED, Moment.SUSPENDED_PAUSED),
    restored=(Moment.STARTED_RESTORED,),
    restored_paused=(Moment.STARTED_RESTORED, Moment.SUSPENDED_RESTORED),
    restored_reason=PausedReason.USER,
    saving=(),
    iterations=0,
    destroyed=(Moment.STOPPED_DESTROYED,),
    guest_off=(),
    rebooted=(),
    old_id=frozenset(),
)
"""A driver that tells one event for each thing."""

LXC_HABITS: Final = _PLAIN

TEST_HABITS: Final = msgspec.structs.replace(
    _PLAIN,
    boots_saved=True,
    refuses_pause=True,
    old_id_transient=frozenset({Moment.STOPPED_DESTROYED}),
)

XEN_HABITS: Final = msgspec.structs.replace(
    _PLAIN,
    started_paused=(Moment.STARTED_BOOTED,),
    restored_paused=(Moment.STARTED_RESTORED,),
    reboots_anew=True,
)
