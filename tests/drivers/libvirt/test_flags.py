"""The plain numbers are the generated enums' numbers, and the modules in use do without these enums."""

from __future__ import annotations

import subprocess
import sys
from enum import IntEnum, IntFlag
from pathlib import Path

import pytest

from avirt.drivers.libvirt import flags
from avirt.drivers.libvirt.generated import enums

SAME: list[tuple[type, type[IntFlag | IntEnum], str]] = [
    (flags.Create, enums.DomainCreateFlags, ""),
    (flags.Shutdown, enums.DomainShutdownFlagValues, ""),
    (flags.Shutdown, enums.DomainRebootFlagValues, ""),
    (flags.Destroy, enums.DomainDestroyFlagsValues, ""),
    (flags.SaveRestore, enums.DomainSaveRestoreFlags, ""),
    (flags.Define, enums.DomainDefineFlags, ""),
    (flags.Undefine, enums.DomainUndefineFlagsValues, ""),
    (flags.Xml, enums.DomainXMLFlags, ""),
    (flags.Stats, enums.DomainStatsTypes, ""),
    (flags.Reads, enums.ConnectGetAllDomainStatsFlags, "STATS_"),
    (flags.ListDomains, enums.ConnectListAllDomainsFlags, ""),
]


@pytest.mark.parametrize(("plain", "enum", "prefix"), SAME, ids=lambda value: getattr(value, "__name__", ""))
def test_plain_numbers_are_the_enums(plain: type, enum: type[IntFlag | IntEnum], prefix: str) -> None:
    """Each by its name."""
    names = [name for name in vars(plain) if name.isupper()]
    assert names
    for name in names:
        assert getattr(plain, name) == enum[name.removeprefix(prefix)].value, name


def test_the_driver_and_its_verbs_do_without_the_enums() -> None:
    """A capability is imported in the loop: what it imports has to be quick."""
    code = (
        "import sys; import avirt.drivers.libvirt.driver, avirt.drivers.libvirt.capabilities;"
        "assert 'avirt.drivers.libvirt.generated.enums' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)
