"""Unknown numbers are kept."""

from __future__ import annotations

import pytest

from avirt.drivers.libvirt.generated.enums import DomainState, DomainXMLFlags


def test_open_enum_unknown_number_is_a_member_with_a_name_of_its_own() -> None:
    """It compares as the number it is."""
    assert DomainState(1) is DomainState.RUNNING
    assert DomainState(99) == 99
    assert DomainState(99).name == "UNKNOWN_99"
    assert DomainState(-5).name == "UNKNOWN_MINUS_5"


def test_open_enum_what_is_no_number_is_refused() -> None:
    """As any enumeration does."""
    with pytest.raises(ValueError, match="running"):
        DomainState("running")  # type: ignore[arg-type]


def test_open_flag_unknown_bits_are_kept() -> None:
    """Beside the known ones."""
    flags = DomainXMLFlags(1 | 1 << 20)
    assert flags & DomainXMLFlags.SECURE
    assert int(flags) == 1 | 1 << 20
