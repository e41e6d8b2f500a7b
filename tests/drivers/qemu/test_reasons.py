"""Causes of SHUTDOWN and RESET, over the ages of QEMU; tables of what avirt's own work means."""

from __future__ import annotations

import pytest

from avirt.drivers.qemu.events import Data
from avirt.drivers.qemu.reasons import OURS, RESUMED_BY, RESUMED_FROM, STOPPED_FOR, Work, cause_of, told_as
from avirt.drivers.qemu.states import ShutdownCause
from avirt.model.observation import Cause


@pytest.mark.parametrize(
    ("data", "cause", "told"),
    [
        ({"guest": True, "reason": "guest-panic"}, ShutdownCause.GUEST_PANIC, ("guest", "guest-panic")),
        ({"guest": False, "reason": "host-signal"}, ShutdownCause.HOST_SIGNAL, ("host", "host-signal")),
        ({"guest": False, "reason": "from-the-future"}, "from-the-future", ("host", "from-the-future")),
        ({"guest": True}, ShutdownCause.GUEST_SHUTDOWN, ("guest", "guest-shutdown")),
        ({"guest": False}, ShutdownCause.HOST_QMP_QUIT, ("host", "host-qmp-quit")),
        ({}, ShutdownCause.NONE, ("", "none")),
    ],
)
def test_cause_of_an_event(data: Data, cause: str, told: tuple[str, str]) -> None:
    """`reason` came in 4.0, `guest` in 2.10."""
    assert cause_of(data) == cause
    assert told_as("SHUTDOWN", data, cause_of(data)) == Cause("SHUTDOWN", *told)


def test_work_that_stops_a_domain_has_its_state() -> None:
    """All but what starts one, or ends it."""
    assert STOPPED_FOR.keys() == set(Work) - {Work.RESTORE, Work.KILL}
    assert {work for work, _ in OURS} == {Work.SAVE, Work.DUMP, Work.SNAPSHOT, Work.RESTORE}


def test_work_that_fails_lets_a_domain_run_for_its_own_reason() -> None:
    """Each only from a state that it was in."""
    assert {work for work, _ in RESUMED_BY} == {Work.SAVE, Work.RESTORE}
    assert len(RESUMED_FROM) == 6
