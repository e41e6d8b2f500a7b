"""Replies, list entries and lifecycle events → `Observation`. Pure; facts only.

Activity comes from a state source, never from the id (reference/libvirt-wire.md §16, rule 1). The runtime id is passed
on as printed, -1 as None; it is the marker of an incarnation only where the state says active. Evidence is shared
between domains that have no id: a thousand stopped domains hold one mapping.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from avirt.drivers.libvirt.bulk import DomainEntry, StateEntry
from avirt.drivers.libvirt.events import CONTROL_ERROR, LIFECYCLE, REBOOT, LifecycleRow, lifecycle_row
from avirt.drivers.libvirt.states import Row, StateTable
from avirt.model.change import Origin
from avirt.model.observation import Observation, Overrun, Seen
from avirt.model.record import NO_NATIVE, Key, Native
from avirt.model.state import DomainState, NormalState, ShutoffReason

__all__ = ["Known", "control_lost", "lifecycle_item", "listed", "read", "rebooted"]

_SAVED: Final = NormalState(DomainState.SHUTOFF, ShutoffReason.SAVED)
_SAVED_NATIVE: Final[Native] = {"state": 5, "reason": 0, "managed_save": 1}


class Known(msgspec.Struct, frozen=True):
    """What the filtered lists say beside the states.

    Attributes:
        transient, autostart: None: the server could not tell.
        persistent: where the server lists these too; None: whatever is not transient.
        saved: domains with a managed save image; a restarted daemon forgets the reason, not the image (§16, qemu).
        active: for domains whose state does not say.
    """

    transient: Container[bytes] | None = None
    persistent: Container[bytes] | None = None
    autostart: Container[bytes] | None = None
    saved: Container[bytes] = frozenset()
    active: Mapping[bytes, bool] = {}


def _status(row: Row, saved: bool) -> tuple[NormalState | None, Native]:
    status = row.status
    if saved and status is not None and status.state is DomainState.SHUTOFF and status.reason is ShutoffReason.UNKNOWN:
        return _SAVED, _SAVED_NATIVE
    return status, row.native


def read(
    table: StateTable,
    key: Key,
    *,
    name: str | None,
    id: int | None,
    state: int | None,
    reason: int | None,
    active: bool | None = None,
    persistent: bool | None = None,
    autostart: bool | None = None,
    saved: bool = False,
    origin: Origin = Origin.POLL,
    asked: int = 0,
) -> Observation:
    """One domain as a read saw it; `state` None: the read did not say."""
    printed = id if id is not None and id >= 0 else None
    if state is None:
        return Observation(
            key=key,
            name=name,
            active=active,
            persistent=persistent,
            autostart=autostart,
            id=printed,
            native=NO_NATIVE if printed is None else {"id": printed},
            origin=origin,
            asked=asked,
        )
    row = table.read(state, reason or 0).with_activity(active)
    status, native = _status(row, saved)
    if printed is not None:
        native = {**native, "id": printed}
    return Observation(
        key=key,
        name=name,
        status=status,
        active=row.active,
        persistent=persistent,
        autostart=autostart,
        id=printed,
        marker=printed if row.active else None,
        native=native,
        origin=origin,
        asked=asked,
    )


def listed(table: StateTable, entries: Sequence[StateEntry], known: Known, asked: int) -> list[Observation]:
    """Entries of a listing."""
    found: list[Observation] = []
    rows = table.rows
    transient, autostart, saved = known.transient, known.autostart, known.saved
    for name, uuid, id, state, reason in entries:
        key = Key(uuid)
        if transient is None:
            persistent = None
        elif known.persistent is not None:
            persistent = True if key in known.persistent else False if key in transient else None
        else:
            persistent = key not in transient
        starts = None if autostart is None else key in autostart
        row = rows.get((state, reason)) if state is not None and reason is not None else None
        if row is None or row.active is None or key in saved:
            found.append(
                read(
                    table,
                    key,
                    name=name,
                    id=id,
                    state=state,
                    reason=reason,
                    active=known.active.get(key),
                    persistent=persistent,
                    autostart=starts,
                    saved=key in saved,
                    origin=Origin.LIST,
                    asked=asked,
                )
            )
        elif id < 0:
            found.append(
                Observation(
                    key=key,
                    name=name,
                    status=row.status,
                    active=row.active,
                    persistent=persistent,
                    autostart=starts,
                    native=row.native,
                    origin=Origin.LIST,
                    asked=asked,
                )
            )
        else:
            found.append(
                Observation(
                    key=key,
                    name=name,
                    status=row.status,
                    active=row.active,
                    persistent=persistent,
                    autostart=starts,
                    id=id,
                    marker=id if row.active else None,
                    native={"state": state or 0, "reason": reason or 0, "id": id},
                    origin=Origin.LIST,
                    asked=asked,
                )
            )
    return found


def _seen(row: LifecycleRow, domain: DomainEntry, asked: int) -> Seen:
    name, uuid, id = domain
    printed = id if id >= 0 else None
    return Seen(
        Observation(
            key=Key(uuid),
            name=name,
            status=row.status,
            active=row.active,
            persistent=row.persistent,
            id=printed,
            marker=printed if row.active else None,
            native=row.native,
            origin=Origin.EVENT,
            asked=asked,
            signal=row.signal,
            cause=row.cause,
        )
    )


_TOLD: Final[dict[tuple[int, int], Observation]] = {
    (event, detail): _seen(row, ("", bytes(16), -1), 0).observation
    for event, rows in enumerate(LIFECYCLE)
    for detail, row in enumerate(rows)
}
"""What each (event, detail) says, of no domain yet: filling in five fields costs half of filling in all."""


def lifecycle_item(  # noqa: PLR0917  keywords would cost a tenth of it
    name: str, key: bytes, id: int, event: int, detail: int, asked: int
) -> Seen | Overrun:
    """A lifecycle event; one that nobody knew yet asks for a listing."""
    told = _TOLD.get((event, detail))
    if told is not None:
        printed = id if id >= 0 else None
        marker = printed if told.active else None
        return Seen(replace(told, key=Key(key), name=name, id=printed, marker=marker, asked=asked))
    row = lifecycle_row(event, detail)
    if row is None:
        return Overrun(f"a lifecycle event of the unknown type {event} ({detail}) came")
    return _seen(row, (name, key, id), asked)


def rebooted(domain: DomainEntry, asked: int) -> Seen:
    """The event "reboot"."""
    return _seen(REBOOT, domain, asked)


def control_lost(domain: DomainEntry, asked: int) -> Seen:
    """The event "control-error"."""
    return _seen(CONTROL_ERROR, domain, asked)
