"""Flags of the calls that the driver itself makes, as plain numbers: the enums of `generated/enums.py` take 30 ms to
import, which neither a short command nor a loop can spare. A test compares the two.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Create", "Define", "Destroy", "ListDomains", "Reads", "SaveRestore", "Shutdown", "Stats", "Undefine", "Xml"]


class Create:
    """virDomainCreateFlags."""

    START_PAUSED: Final = 1
    START_AUTODESTROY: Final = 2
    START_BYPASS_CACHE: Final = 4
    START_FORCE_BOOT: Final = 8
    START_VALIDATE: Final = 16
    START_RESET_NVRAM: Final = 32


class Shutdown:
    """virDomainShutdownFlagValues; virDomainRebootFlagValues has the same numbers."""

    ACPI_POWER_BTN: Final = 1
    GUEST_AGENT: Final = 2
    INITCTL: Final = 4
    SIGNAL: Final = 8
    PARAVIRT: Final = 16


class Destroy:
    """virDomainDestroyFlagsValues."""

    GRACEFUL: Final = 1


class SaveRestore:
    """virDomainSaveRestoreFlags."""

    BYPASS_CACHE: Final = 1
    RUNNING: Final = 2
    PAUSED: Final = 4
    RESET_NVRAM: Final = 8


class Define:
    """virDomainDefineFlags."""

    VALIDATE: Final = 1


class Undefine:
    """virDomainUndefineFlagsValues."""

    MANAGED_SAVE: Final = 1
    SNAPSHOTS_METADATA: Final = 2
    NVRAM: Final = 4
    KEEP_NVRAM: Final = 8
    CHECKPOINTS_METADATA: Final = 16
    TPM: Final = 32
    KEEP_TPM: Final = 64


class Xml:
    """virDomainXMLFlags."""

    SECURE: Final = 1
    INACTIVE: Final = 2
    UPDATE_CPU: Final = 4
    MIGRATABLE: Final = 8


class Stats:
    """virDomainStatsTypes."""

    STATE: Final = 1
    CPU_TOTAL: Final = 2
    BALLOON: Final = 4
    VCPU: Final = 8
    INTERFACE: Final = 16
    BLOCK: Final = 32
    PERF: Final = 64
    IOTHREAD: Final = 128
    MEMORY: Final = 256
    DIRTYRATE: Final = 512
    VM: Final = 1024


class Reads:
    """virConnectGetAllDomainStatsFlags."""

    STATS_NOWAIT: Final = 1 << 29


class ListDomains:
    """virConnectListAllDomainsFlags: or-ed within a group (the first two, the next two, …), and-ed between groups."""

    ACTIVE: Final = 1
    PERSISTENT: Final = 4
    TRANSIENT: Final = 8
    RUNNING: Final = 16
    PAUSED: Final = 32
    SHUTOFF: Final = 64
    OTHER: Final = 128
    MANAGEDSAVE: Final = 256
    AUTOSTART: Final = 1024
