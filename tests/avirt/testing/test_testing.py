"""`avirt.testing` is public: its names are loaded when asked for."""

from __future__ import annotations

import pytest

import avirt.testing


@pytest.mark.parametrize("name", avirt.testing.__all__)
def test_public_name_loads(name: str) -> None:
    assert getattr(avirt.testing, name) is not None


def test_other_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = avirt.testing.nothing
