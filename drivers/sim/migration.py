"""A domain moves from one simulated host to another, told on both as libvirt tells it.

The target hears STARTED first, the source SUSPENDED when the last memory leaves; then the target hears DEFINED and
RESUMED, and the source STOPPED (recorded from libvirt 9.0.0; `tests/real/test_migration.py`).
"""

from __future__ import annotations

from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.world import World

__all__ = ["migrate"]


def migrate(
    domain: SimDomain, target: World, *, persistent: bool = False, undefine: bool = False, fail: bool = False
) -> None:
    """Move a domain. It takes the source's `times.migration`; both copies are listed meanwhile.

    Args:
        persistent: it is defined on the target (virsh migrate --persistent).
        undefine: its definition on the source goes (--undefinesource).
        fail: it does not arrive: the target drops its copy, the source goes on.

    Raises:
        InvalidOperation: it is not active.
        AlreadyExists: the target has one of that name or uuid.
    """
    image = domain.begin_migration()
    copy = target.expect(image)
    source_was, target_was = domain.incarnation, copy.incarnation

    def switch() -> None:
        is_here, is_there = domain.incarnation == source_was, copy.incarnation == target_was
        if not is_here or not is_there or fail:
            if is_there:
                copy.stay_away()
            if is_here:
                domain.fail_migration()
            return
        domain.suspend_for_migration()
        copy.arrive(image, persistent=persistent)
        domain.end_migration(undefine=undefine)

    if domain.world.times.migration > 0:
        domain.world.after(domain.world.times.migration, switch)
    else:
        switch()
