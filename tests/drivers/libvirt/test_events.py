"""The event tables: total, with virsh's words and libvirt's enumerators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avirt.drivers.libvirt import events
from avirt.drivers.libvirt.events import LIFECYCLE, WORDS, lifecycle_row, word
from avirt.model.native_event import EVENT_NAMES
from avirt.model.observation import Signal
from avirt.model.state import (
    CrashedReason,
    DomainState,
    PausedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

PROTOCOL = json.loads((Path(events.__file__).parent / "protocol.json").read_bytes())
ENUMS = PROTOCOL["public"]["enums"]
DETAILS = {
    0: "virDomainEventDefinedDetailType",
    1: "virDomainEventUndefinedDetailType",
    2: "virDomainEventStartedDetailType",
    3: "virDomainEventSuspendedDetailType",
    4: "virDomainEventResumedDetailType",
    5: "virDomainEventStoppedDetailType",
    6: "virDomainEventShutdownDetailType",
    7: "virDomainEventPMSuspendedDetailType",
    8: "virDomainEventCrashedDetailType",
}
NO_COMMON_PREFIX = {"virConnectDomainEventDiskChangeReason": "VIR_DOMAIN_EVENT_DISK_"}


def test_every_event_of_the_protocol_has_a_row() -> None:
    """One row for each detail that libvirt's table names, and no more."""
    assert len(LIFECYCLE) == len(ENUMS["virDomainEventType"])
    for event, enum in DETAILS.items():
        assert len(LIFECYCLE[event]) == len(ENUMS[enum]), enum


def test_future_details_keep_what_the_event_says() -> None:
    """An unknown detail of a known event is still that event."""
    for event, rows in enumerate(LIFECYCLE):
        for detail in (-1, len(rows), 99):
            row = lifecycle_row(event, detail)
            assert row is not None
            assert row.cause.type == rows[0].cause.type
            assert row.cause.detail == "unknown"
            assert row.signal is rows[0].signal
            assert row.active in (rows[0].active, None)
            assert row.persistent is None
            assert row.native == ({} if row.status is None else {"event": event, "detail": detail})


def test_future_events_have_no_row() -> None:
    """Only a listing can tell what they mean."""
    assert lifecycle_row(len(LIFECYCLE), 0) is None
    assert lifecycle_row(-1, 0) is None


def test_rows_are_shared_by_all_events() -> None:
    """The cause is one object: 200,000 Changes in the ring share it."""
    first, second = lifecycle_row(2, 0), lifecycle_row(2, 0)
    assert first is not None
    assert second is not None
    assert first.cause is second.cause


@pytest.mark.parametrize(
    ("event", "detail", "signal", "state", "reason", "active", "persistent", "words"),
    [
        (0, 0, Signal.DEFINED, None, None, None, True, ("Defined", "Added")),
        (0, 2, Signal.RENAMED, None, None, None, True, ("Defined", "Renamed")),
        (1, 0, Signal.UNDEFINED, None, None, None, False, ("Undefined", "Removed")),
        (1, 1, Signal.RENAMED_FROM, None, None, None, None, ("Undefined", "Renamed")),
        (2, 0, Signal.STARTED, DomainState.RUNNING, RunningReason.BOOTED, True, None, ("Started", "Booted")),
        (2, 1, Signal.STARTED, None, None, True, None, ("Started", "Migrated")),
        (2, 2, Signal.STARTED, None, None, True, None, ("Started", "Restored")),
        (2, 3, Signal.STARTED, None, None, True, None, ("Started", "Snapshot")),
        (2, 4, Signal.STARTED, DomainState.RUNNING, RunningReason.WAKEUP, True, None, ("Started", "Event wakeup")),
        (3, 0, Signal.SUSPENDED, DomainState.PAUSED, PausedReason.USER, True, None, ("Suspended", "Paused")),
        (3, 2, Signal.SUSPENDED, DomainState.PAUSED, PausedReason.IOERROR, True, None, ("Suspended", "I/O Error")),
        (4, 0, Signal.RESUMED, DomainState.RUNNING, RunningReason.UNPAUSED, True, None, ("Resumed", "Unpaused")),
        (5, 1, Signal.STOPPED, DomainState.SHUTOFF, ShutoffReason.DESTROYED, False, None, ("Stopped", "Destroyed")),
        (5, 4, Signal.STOPPED, DomainState.SHUTOFF, ShutoffReason.SAVED, False, None, ("Stopped", "Saved")),
        (
            6,
            1,
            Signal.SHUTDOWN,
            DomainState.SHUTDOWN,
            ShutdownReason.UNKNOWN,
            True,
            None,
            ("Shutdown", "Finished after guest request"),
        ),
        (8, 0, Signal.CRASHED, DomainState.CRASHED, CrashedReason.PANICKED, True, None, ("Crashed", "Panicked")),
        (8, 1, Signal.CRASHED, DomainState.RUNNING, RunningReason.CRASHED, True, None, ("Crashed", "Crashloaded")),
    ],
)
def test_lifecycle_row_says_what_is_known_of_the_state(
    event: int,
    detail: int,
    signal: Signal,
    state: DomainState | None,
    reason: Reason | None,
    active: bool | None,
    persistent: bool | None,
    words: tuple[str, str],
) -> None:
    """§10's table, virsh's words."""
    row = lifecycle_row(event, detail)
    assert row is not None
    assert row.signal is signal
    assert (row.status and row.status.state, row.status and row.status.reason) == (state, reason)
    assert (row.active, row.persistent) == (active, persistent)
    assert (row.cause.event, row.cause.type, row.cause.detail) == ("lifecycle", *words)


def test_stopped_rows_are_inactive_and_shutoff() -> None:
    """A stop never leaves a domain active; a recreated one is rebooting."""
    for row in LIFECYCLE[5]:
        assert row.active is False
        assert row.status is not None
        assert row.status.state is DomainState.SHUTOFF
        assert row.status.transition is (Transition.REBOOTING if row.cause.detail == "Recreated" else None)


def test_event_names_follow_the_ids() -> None:
    """virsh's names are the enumerators with dashes, except for the spelling of three."""
    spelled = {"vir_domain_event_id_pmwakeup": "pm-wakeup", "vir_domain_event_id_pmsuspend": "pm-suspend"}
    spelled["vir_domain_event_id_pmsuspend_disk"] = "pm-suspend-disk"
    for name, number in ENUMS["virDomainEventID"].items():
        lower = name.lower()
        expected = spelled.get(lower, lower.removeprefix("vir_domain_event_id_").replace("_", "-"))
        assert EVENT_NAMES[number] == expected


@pytest.mark.parametrize("enum", sorted(WORDS))
def test_words_are_libvirts_enumerators(enum: str) -> None:
    """Each number of the protocol's table has the enumerator's word, lower case, without the common prefix."""
    members = ENUMS[enum]
    prefix = NO_COMMON_PREFIX.get(enum, "")
    if not prefix:
        names = list(members)
        prefix = names[0]
        while not all(name.startswith(prefix) for name in names):
            prefix = prefix[: prefix.rstrip("_").rfind("_") + 1]
    for name, number in members.items():
        assert word(enum, number) == name.removeprefix(prefix).lower()
    assert len(WORDS[enum]) == max(members.values()) + 1


def test_unknown_numbers_keep_their_number() -> None:
    """A newer hypervisor's enumerator is not refused."""
    assert word("virDomainMetadataType", 7) == "unknown_7"
    assert word("virDomainMetadataType", -1) == "unknown_-1"
    assert word("virConnectDomainEventAgentLifecycleState", 0) == "unknown_0"
