"""Procedures are looked up by identity, quickly."""

from __future__ import annotations

import pytest

from avirt.drivers.libvirt.procedure import Fds, Procedure, ReadOnly, StreamKind


def test_procedure_is_compared_and_hashed_by_identity() -> None:
    """There is one object a procedure; hashing it must not read all its fields."""
    one, other = Procedure[None]("a", 1, 1), Procedure[None]("a", 1, 1)
    assert one == one
    assert one != other
    assert {one: 1}.get(other) is None


def test_procedure_unsaid_is_a_plain_call() -> None:
    """Allowed read-only, no stream, no descriptors, low priority."""
    row = Procedure[None]("a", 1, 1)
    assert (row.read_only, row.stream, row.fds, row.high) == (ReadOnly.ALLOWED, StreamKind.NONE, Fds.NONE, False)
    assert not row.is_event
    assert Procedure[None]("a", 1, 1, msg="a_msg").is_event


def test_procedure_is_frozen() -> None:
    """A table row."""
    with pytest.raises(AttributeError):
        Procedure[None]("a", 1, 1).name = "b"  # type: ignore[misc]
