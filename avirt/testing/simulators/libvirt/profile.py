"""What differs between the hypervisors that a simulated daemon can stand for, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from avirt.drivers.libvirt import flags as f
from avirt.drivers.sim.habits import LXC_HABITS, QEMU_HABITS, TEST_HABITS, XEN_HABITS, Habits

__all__ = ["LXC", "QEMU", "TEST", "XEN", "Profile"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One inner driver, as libvirt shows it.

    Attributes:
        scheme, path: of its URI.
        type: `connect_get_type`.
        version: `connect_get_version`.
        library: `connect_get_lib_version`.
        error_domain: virErrorDomain of its errors.
        domain_type: `<domain type=…>`.
        os_type: `domain_get_os_type`.
        missing: procedures that its driver does not support.
        missing_features: numbers of features that it lacks.
        habits: what its domains tell, and in which order.
        start_flags: of virDomainCreateFlags, those that it knows.
        refusals: the code with which a procedure refuses what the domain's state does not allow, where that is not
            OPERATION_INVALID.
        missing_events: names of events that it does not know, e.g. those newer than an old libvirt.
    """

    scheme: str
    type: str
    version: int
    library: int = 12_008_000
    error_domain: int
    domain_type: str
    path: str = "/system"
    os_type: str = "hvm"
    habits: Habits = QEMU_HABITS
    start_flags: int = 0x3F
    refusals: Mapping[str, int] = {}
    missing: frozenset[str] = frozenset()
    missing_features: frozenset[int] = frozenset()
    missing_events: frozenset[str] = frozenset()


QEMU: Final = Profile(scheme="qemu", type="QEMU", version=7_002_022, error_domain=10, domain_type="qemu")

LXC: Final = Profile(
    scheme="lxc",
    type="LXC",
    version=6_001_000,
    error_domain=17,
    domain_type="lxc",
    os_type="exe",
    habits=LXC_HABITS,
    start_flags=f.Create.START_AUTODESTROY | f.Create.START_VALIDATE,
    missing=frozenset(
        {
            # src/lxc/lxc_driver.c, lxcHypervisorDriver
            "connect_get_all_domain_stats",
            "domain_managed_save",
            "domain_managed_save_remove",
            "domain_save",
            "domain_save_flags",
            "domain_restore",
            "domain_restore_flags",
            "domain_save_image_get_xml_desc",
            "domain_rename",
            "domain_reset",
            "domain_pm_wakeup",
            "domain_pm_suspend_for_duration",
        }
    ),
)

TEST: Final = Profile(
    scheme="test",
    path="/default",
    type="TEST",
    version=2,
    error_domain=12,
    domain_type="test",
    habits=TEST_HABITS,
    start_flags=f.Create.START_VALIDATE,
    # VIR_ERR_INTERNAL_ERROR (reference/libvirt-wire.md §7)
    refusals={
        "domain_create": 1,
        "domain_create_with_flags": 1,
        "domain_suspend": 1,
        "domain_resume": 1,
    },
)

XEN: Final = Profile(
    scheme="xen",
    type="Xen",
    version=4_017_000,
    error_domain=60,
    domain_type="xen",
    habits=XEN_HABITS,
    missing=frozenset({"domain_reset", "domain_pm_suspend_for_duration", "domain_save_image_get_xml_desc"}),
)
