"""What libvirt's (state, reason) means, one total table per inner driver (`connect_get_type`). Pure.

libvirt's drivers disagree on what a number stands for (reference/libvirt-wire.md §10 and §16), so each row says what
avirt makes of it: a `NormalState`, and whether the domain is active. Activity follows from the state, never from the
id; only CRASHED, NOSTATE and the states of the future need a second source (`domain_is_active`, or a list filtered by
ACTIVE), for which such a row carries one row for either answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec.structs

from avirt.model.record import NO_NATIVE, Native
from avirt.model.state import (
    REASONS,
    BlockedReason,
    CrashedReason,
    DomainState,
    NormalState,
    NostateReason,
    PausedReason,
    PMSuspendedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
    reason_of,
    state_of,
)

__all__ = ["COMMON", "TABLES", "Row", "StateTable", "table_of"]

_State = tuple[int, int]


class Row(msgspec.Struct, frozen=True, gc=False):
    """What one (state, reason) means.

    Attributes:
        status: None: the evidence names no state.
        active: None: the state does not say, ask another source; `up` and `down` are the rows for its answers.
        native: the evidence itself, shared by all domains that have no runtime id.
    """

    status: NormalState | None
    active: bool | None
    native: Native = NO_NATIVE
    up: Row | None = None
    down: Row | None = None

    def with_activity(self, active: bool | None) -> Row:
        """The row once another source has said whether the domain is active; None: it could not."""
        if self.active is not None or active is None:
            return self
        return (self.up if active else self.down) or self


class StateTable:
    """The table of one inner driver: known rows first, then the rules for what nobody knew when it was written."""

    __slots__ = ("_nostate", "name", "rows")

    def __init__(self, name: str, rows: Mapping[_State, Row], nostate: Row) -> None:
        self.name: Final = name
        self.rows: Final = {pair: _with_native(row, pair) for pair, row in rows.items()}
        self._nostate: Final = nostate

    def read(self, state: int, reason: int) -> Row:
        """The row of any pair of numbers."""
        row = self.rows.get((state, reason))
        return row if row is not None else self._future(state, reason)

    def _future(self, state: int, reason: int) -> Row:
        if state == DomainState.NOSTATE:
            row = self._nostate
        elif state in REASONS:  # a known state for a reason not known yet: as that state's "unknown", the number kept
            like = self.rows[state, 0]
            row = _renamed(like, state, reason)
        else:
            row = _either(NormalState(state_of(state), reason_of(state, reason)), _OFF)
        return _with_native(row, (state, reason))


def _with_native(row: Row, pair: _State) -> Row:
    native: Native = {"state": int(pair[0]), "reason": int(pair[1])}
    up, down = (half and msgspec.structs.replace(half, native=native) for half in (row.up, row.down))
    return msgspec.structs.replace(row, native=native, up=up, down=down)


def _renamed(row: Row, state: int, reason: int) -> Row:
    def status(old: NormalState | None) -> NormalState | None:
        if old is None or old.state != state:  # BLOCKED counts as RUNNING: its reasons are not RUNNING's
            return old
        return msgspec.structs.replace(old, reason=reason_of(state, reason))

    up, down = (half and msgspec.structs.replace(half, status=status(half.status)) for half in (row.up, row.down))
    return msgspec.structs.replace(row, status=status(row.status), up=up, down=down)


def _is(state: DomainState, reason: Reason, transition: Transition | None = None, *, idle: bool = False) -> Row:
    active = state is not DomainState.SHUTOFF
    return Row(NormalState(state, reason, transition, idle), active)


def _either(up: NormalState, down: NormalState) -> Row:
    return Row(up, None, up=Row(up, True), down=Row(down, False))


_OFF: Final = NormalState(DomainState.SHUTOFF, ShutoffReason.UNKNOWN)
_RUNNING: Final = NormalState(DomainState.RUNNING, RunningReason.UNKNOWN)
_IDLE: Final = NormalState(DomainState.RUNNING, RunningReason.UNKNOWN, idle=True)
_UNKNOWN: Final = NormalState(DomainState.NOSTATE, NostateReason.UNKNOWN)

_NOT_SAID: Final = Row(None, None, up=Row(_UNKNOWN, True), down=Row(_OFF, False))
"""NOSTATE: off where another source says inactive, unknown where it says active (§16, rule 2)."""


def _numbers(*rows: Row) -> dict[_State, Row]:
    return {(int(row.status.state), int(row.status.reason)): row for row in rows if row.status is not None}


COMMON: Final[dict[_State, Row]] = {
    # §10: virDomainState and virDomain…Reason; §16 for what differs from libvirt's words
    **_numbers(
        _is(DomainState.RUNNING, RunningReason.UNKNOWN),
        _is(DomainState.RUNNING, RunningReason.BOOTED),
        _is(DomainState.RUNNING, RunningReason.MIGRATED),
        _is(DomainState.RUNNING, RunningReason.RESTORED),
        _is(DomainState.RUNNING, RunningReason.FROM_SNAPSHOT),
        _is(DomainState.RUNNING, RunningReason.UNPAUSED),
        _is(DomainState.RUNNING, RunningReason.MIGRATION_CANCELED),
        _is(DomainState.RUNNING, RunningReason.SAVE_CANCELED),
        _is(DomainState.RUNNING, RunningReason.WAKEUP),
        # libvirt-domain.h: resumed from crashed, e.g. reset after a panic; its CPUs run
        _is(DomainState.RUNNING, RunningReason.CRASHED),
        _is(DomainState.RUNNING, RunningReason.POSTCOPY, Transition.MIGRATING),  # §16 qemu
        _is(DomainState.RUNNING, RunningReason.POSTCOPY_FAILED),  # nothing goes on until someone recovers it
        _is(DomainState.PAUSED, PausedReason.UNKNOWN),
        _is(DomainState.PAUSED, PausedReason.USER),
        _is(DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING),  # §16 qemu (incoming), vz
        _is(DomainState.PAUSED, PausedReason.SAVE, Transition.SAVING),  # §16 vz; qemu in the midst of a save
        _is(DomainState.PAUSED, PausedReason.DUMP),
        _is(DomainState.PAUSED, PausedReason.IOERROR),
        _is(DomainState.PAUSED, PausedReason.WATCHDOG),
        _is(DomainState.PAUSED, PausedReason.FROM_SNAPSHOT),
        _is(DomainState.PAUSED, PausedReason.SHUTTING_DOWN, Transition.STOPPING),
        _is(DomainState.PAUSED, PausedReason.SNAPSHOT, Transition.SNAPSHOTTING),  # §16 vz
        _is(DomainState.PAUSED, PausedReason.STARTING_UP, Transition.STARTING),  # §16 qemu
        _is(DomainState.PAUSED, PausedReason.POSTCOPY, Transition.MIGRATING),
        _is(DomainState.PAUSED, PausedReason.POSTCOPY_FAILED),
        _is(DomainState.PAUSED, PausedReason.API_ERROR),
        _is(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING),  # §16 qemu, hyperv, vbox, phyp
        _is(DomainState.SHUTDOWN, ShutdownReason.USER, Transition.STOPPING),
        # off for the user even where the id lives on (§16 libxl: on_poweroff=preserve)
        *(_is(DomainState.SHUTOFF, reason) for reason in ShutoffReason),
        _is(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN),  # §16 qemu: S3, still active
    ),
    (DomainState.PAUSED, PausedReason.CRASHED): _is(DomainState.CRASHED, CrashedReason.PANICKED),  # §16 qemu: panic
    (DomainState.BLOCKED, BlockedReason.UNKNOWN): Row(_IDLE, True),  # §16, rule 3: waits for work
    # §16, rule 6: active with "preserve" (qemu, Xen), or what is left of it
    **{
        (int(DomainState.CRASHED), int(reason)): _either(status, status)
        for reason in CrashedReason
        for status in (NormalState(DomainState.CRASHED, reason),)
    },
    (DomainState.NOSTATE, NostateReason.UNKNOWN): _NOT_SAID,
}
"""What holds for every inner driver that has no row of its own."""


def _table(name: str, rows: Mapping[_State, Row] | None = None, nostate: Row = _NOT_SAID) -> StateTable:
    nothing = (int(DomainState.NOSTATE), int(NostateReason.UNKNOWN))
    return StateTable(name, {**COMMON, nothing: nostate, **(rows or {})}, nostate)


_NEITHER: Final = Row(_UNKNOWN, None)
"""The driver itself does not know: neither off nor running, whatever it counts as inactive."""

_ESX: Final = _table(
    "esx",
    {
        # suspended there is on disk, although libvirt keeps an active id (§16 esx)
        (int(DomainState.PAUSED), int(reason)): _is(DomainState.SHUTOFF, ShutoffReason.SAVED)
        for reason in PausedReason
    },
    _NEITHER,  # a power state that esx's driver does not know
)

_PLAIN: Final = _table("common")

TABLES: Final[dict[str, StateTable]] = {
    "qemu": _PLAIN,
    "ch": _PLAIN,
    "lxc": _PLAIN,  # frozen from outside shows as RUNNING, a crash of init as shutdown: can't be seen from here
    "test": _PLAIN,
    # exit 3 (triple fault) shows as SHUTOFF/unknown, as does every domain that never ran: can't be told apart here
    "bhyve": _PLAIN,
    "openvz": _PLAIN,  # paused is libvirt's own memory; suspended to disk shows as SHUTOFF
    "vmware": _PLAIN,  # as openvz
    "uml": _PLAIN,
    # a domain without flags waits for a CPU (§16 xend, hypervisor call); inactive, the old id is no evidence
    "xen": _table("xen", nostate=Row(None, None, up=Row(_IDLE, True), down=Row(_OFF, False))),
    "vbox": _table(
        "vbox",
        {
            # Stuck: guru meditation (§16 vbox)
            (int(DomainState.BLOCKED), int(BlockedReason.UNKNOWN)): Row(
                NormalState(DomainState.BLOCKED, BlockedReason.UNKNOWN), True
            ),
            # Aborted: the process is gone
            **{
                (int(DomainState.CRASHED), int(reason)): Row(NormalState(DomainState.CRASHED, reason), False)
                for reason in CrashedReason
            },
        },
        # Starting, Saving, Restoring, Teleporting …: libvirt does not say which, only whether it is online
        Row(None, None, up=Row(_RUNNING, True), down=Row(_OFF, False)),
    ),
    "esx": _ESX,
    "vpx": _ESX,
    "gsx": _ESX,
    "hyperv": _table("hyperv", nostate=_NEITHER),  # counted inactive, yet nothing that could be started (§16 hyperv)
    "vz": _table("vz", nostate=_NEITHER),
    "parallels": _table("vz", nostate=_NEITHER),
    "phyp": _table("phyp", nostate=_NEITHER),  # any other word of the HMC, or its command failed
}
"""By the word of `connect_get_type`, lower case, letters and digits only (§11)."""


def table_of(type_name: str) -> StateTable:
    """The table of an inner driver; a driver nobody knew yet gets the common one."""
    return TABLES.get("".join(filter(str.isalnum, type_name.lower())), _PLAIN)
