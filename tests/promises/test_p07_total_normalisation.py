"""Promise 7: every native state maps to a state; an inactive domain is SHUTOFF or CRASHED and has no runtime id."""

from __future__ import annotations

import pytest

from avirt.drivers.libvirt.states import table_of
from avirt.lifecycle import HostLifecycle, Now
from avirt.model.observation import Observation, Seen
from avirt.model.record import Key
from avirt.model.state import DomainState, NormalState, RunningReason, ShutoffReason

A = Key(b"a" * 16)


def record_of(**said: object) -> tuple[DomainState, int, int | None]:
    """State, reason and id that follow from one observation."""
    lifecycle = HostLifecycle("h")
    lifecycle.step(Seen(Observation(key=A, name="a", **said)), Now(0.0, 0.0))  # type: ignore[arg-type]
    record = lifecycle.records[A]
    return record.state, int(record.reason), record.id


def test_xend_inactive_with_an_old_id_and_no_state_is_shutoff_without_id() -> None:
    """The trap this project comes from: `{status: 0, domid: 7}`, no state letters."""
    native = {"status": 0, "domid": 7}
    assert record_of(native=native, active=False, id=7) == (DomainState.SHUTOFF, ShutoffReason.UNKNOWN, None)


def test_xend_active_without_state_is_running() -> None:
    assert record_of(native={"status": 1, "domid": 7}, active=True, id=7) == (
        DomainState.RUNNING,
        RunningReason.UNKNOWN,
        7,
    )


@pytest.mark.parametrize("state", list(DomainState))
def test_an_inactive_domain_is_shutoff_or_crashed_whatever_is_said(state: DomainState) -> None:
    found, _, id = record_of(status=NormalState(state, RunningReason.UNKNOWN), active=False, id=7)
    assert found in (DomainState.SHUTOFF, DomainState.CRASHED)
    assert id is None


INNER = ("QEMU", "Xen", "LXC", "TEST", "VBOX", "BHYVE", "vz", "ESX", "Hyper-V", "OpenVZ", "VMware", "CH", "Future")


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("state", [*range(9), 99])
def test_every_state_libvirt_can_say_maps_and_keeps_its_evidence(inner: str, state: int) -> None:
    for reason in (*range(17), 99):
        for active in (True, False):
            row = table_of(inner).read(state, reason).with_activity(active)
            assert row.native == {"state": state, "reason": reason}
            known = active if row.active is None else row.active
            found, _, id = record_of(status=row.status, native=row.native, active=known, id=3)
            assert isinstance(found, DomainState)
            if not known:
                assert found in (DomainState.SHUTOFF, DomainState.CRASHED)
                assert id is None
