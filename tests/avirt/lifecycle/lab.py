"""A host's lifecycle on a table: facts in by short words, Changes out, and every step checked."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from avirt.lifecycle import Effect, HostLifecycle, Now, Probe, Step, WakeAt, slices
from avirt.model.change import Change, HostReplaced, Origin, RecordChange, StateChanged
from avirt.model.observation import (
    Accepted,
    Cause,
    Gone,
    Item,
    LinkUp,
    Listing,
    Observation,
    Scope,
    Seen,
    Signal,
)
from avirt.model.record import Certainty, DomainRecord, HostFacts, Key, key_of
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    PausedReason,
    PMSuspendedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

KEY = key_of(UUID(int=0xA))
OTHER = key_of(UUID(int=0xB))
FACTS = HostFacts(uuid=UUID(int=1), hostname="h1", product="TEST", driver="test")

OFF = NormalState(DomainState.SHUTOFF, ShutoffReason.DESTROYED)
DOWN = NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING)
RUNNING = NormalState(DomainState.RUNNING, RunningReason.BOOTED)
UNPAUSED = NormalState(DomainState.RUNNING, RunningReason.UNPAUSED)
PAUSED = NormalState(DomainState.PAUSED, PausedReason.USER)
ASLEEP = NormalState(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN)
CRASHED = NormalState(DomainState.CRASHED, CrashedReason.PANICKED)

TOLD = {
    Signal.STARTED: (RUNNING, True),
    Signal.RESUMED: (UNPAUSED, True),
    Signal.SUSPENDED: (PAUSED, True),
    Signal.SHUTDOWN: (DOWN, True),
    Signal.STOPPED: (OFF, False),
    Signal.PMSUSPENDED: (ASLEEP, True),
    Signal.CRASHED: (CRASHED, True),
}
"""What libvirt's events say of the state."""


def off(reason: ShutoffReason, transition: Transition | None = None) -> NormalState:
    return NormalState(DomainState.SHUTOFF, reason, transition)


def running(reason: RunningReason) -> NormalState:
    return NormalState(DomainState.RUNNING, reason)


def paused(reason: PausedReason, transition: Transition | None = None) -> NormalState:
    return NormalState(DomainState.PAUSED, reason, transition)


def kinds(changes: Iterable[Change]) -> list[str]:
    return [change.kind for change in changes]


class Lab:
    """One host. `count` is the count of inbound messages; events raise it, reads are asked at it unless said."""

    def __init__(self, *, connected: bool = True) -> None:
        self.lifecycle = HostLifecycle("h")
        self.time = 1000.0
        self.count = 0
        self.view: dict[Key, DomainRecord] = {}
        self.all: list[Change] = []
        self.effects: list[Effect] = []
        if connected:
            self.link_up()
            self.listing()
            self.all.clear()

    @property
    def now(self) -> Now:
        return Now(self.time, 1_700_000_000.0 + self.time)

    @property
    def record(self) -> DomainRecord:
        return self.lifecycle.records[KEY]

    @property
    def probes(self) -> list[Key]:
        """Probes that the last step asked for."""
        return [effect.key for effect in self.effects if isinstance(effect, Probe)]

    @property
    def wakes(self) -> list[float]:
        """When the last step wants to be woken, from now."""
        return [round(effect.at - self.time, 6) for effect in self.effects if isinstance(effect, WakeAt)]

    # ------------------------------------------------------------ facts in

    def step(self, item: Item) -> list[Change]:
        return self._took(self.lifecycle.revision, self.lifecycle.step(item, self.now))

    def wake(self, after: float = 0.0) -> list[Change]:
        self.time += after
        return self._took(self.lifecycle.revision, self.lifecycle.wake(self.now))

    def link_up(self, facts: HostFacts = FACTS) -> list[Change]:
        self.count = 0
        return self.step(LinkUp(facts))

    def event(
        self,
        signal: Signal,
        status: NormalState | None = None,
        *,
        key: Key = KEY,
        name: str | None = "web",
        active: bool | None = None,
        id: int | None = None,
        told: bool = True,
        persistent: bool | None = None,
        marker: int | str | None = None,
        asked: int | None = None,
    ) -> list[Change]:
        """An event. `told` False: without the state that libvirt tells."""
        if told and status is None and active is None and signal in TOLD:
            status, active = TOLD[signal]
        elif active is None and signal in TOLD:
            active = TOLD[signal][1]
        if persistent is None and signal in (Signal.DEFINED, Signal.RENAMED, Signal.UNDEFINED):
            persistent = signal is not Signal.UNDEFINED
        self.count = self.count + 1 if asked is None else asked
        return self.step(
            Seen(
                Observation(
                    key=key,
                    name=name,
                    status=status,
                    active=active,
                    persistent=persistent,
                    id=id,
                    marker=marker,
                    origin=Origin.EVENT,
                    asked=self.count,
                    signal=signal,
                    cause=Cause("lifecycle", signal, ""),
                )
            )
        )

    def observe(
        self,
        status: NormalState | None = None,
        *,
        key: Key = KEY,
        name: str | None = "web",
        active: bool | None = None,
        id: int | None = None,
        persistent: bool | None = None,
        autostart: bool | None = None,
        marker: int | str | None = None,
        native: dict[str, int | str] | None = None,
        asked: int | None = None,
    ) -> Observation:
        if status is not None and active is None and status.state is not DomainState.NOSTATE:
            active = status.state is not DomainState.SHUTOFF
        return Observation(
            key=key,
            name=name,
            status=status,
            active=active,
            persistent=persistent,
            autostart=autostart,
            id=id,
            marker=marker,
            native=native or {},
            asked=self.count if asked is None else asked,
        )

    def read(
        self,
        status: NormalState | None = None,
        *,
        key: Key = KEY,
        name: str | None = "web",
        active: bool | None = None,
        id: int | None = None,
        persistent: bool | None = None,
        autostart: bool | None = None,
        marker: int | str | None = None,
        native: dict[str, int | str] | None = None,
        asked: int | None = None,
    ) -> list[Change]:
        """A probe's answer."""
        return self.step(
            Seen(
                self.observe(
                    status,
                    key=key,
                    name=name,
                    active=active,
                    id=id,
                    persistent=persistent,
                    autostart=autostart,
                    marker=marker,
                    native=native,
                    asked=asked,
                )
            )
        )

    def gone(self, key: Key = KEY, *, asked: int | None = None) -> list[Change]:
        return self.step(Gone(key, self.count if asked is None else asked))

    def listing(
        self, *items: Observation, asked: int | None = None, complete: bool = True, size: int = 512
    ) -> list[Change]:
        listing = Listing(Scope.ALL, complete, self.count if asked is None else asked, items)
        return [change for part in slices(listing, size) for change in self.step(part)]

    def accepted(self, transition: Transition | None, within: float | None = None, *, key: Key = KEY) -> list[Change]:
        return self.step(Accepted(key, transition, None if within is None else self.time + within))

    def have(self, status: NormalState, *, id: int | None = None, persistent: bool | None = True) -> None:
        """The domain is shown so, and has been for a while."""
        self.count += 1
        self.read(status, id=id, persistent=persistent)
        self.time += 60
        self.all.clear()

    # ------------------------------------------------------------ what holds after every step

    def _took(self, revision: int, step: Step) -> list[Change]:
        changes = list(step.changes)
        self.effects = list(step.effects)
        self.all += changes
        for change in changes:
            revision += 1
            assert change.revision == revision
            assert change.host == "h"
            assert change.observed_at == self.now.wall
            self._replay(change)
        assert revision == self.lifecycle.revision
        assert self.view == dict(self.lifecycle.records)
        for record in self.view.values():
            check_record(record)
        return changes

    def _replay(self, change: Change) -> None:
        if isinstance(change, RecordChange):
            assert self.view.get(change.key) is change.before
            if isinstance(change, StateChanged):
                assert change.before is not None
                assert change.after is not None
                assert step_of(change.before) != step_of(change.after)
            if change.after is None:
                del self.view[change.key]
            else:
                assert change.after.revision == change.revision
                assert change.after.observed_at == change.observed_at
                assert change.name == change.after.name
                self.view[change.key] = change.after
        elif isinstance(change, HostReplaced):
            self.view.clear()


def step_of(record: DomainRecord) -> tuple[DomainState, Transition | None, bool]:
    return record.state, record.transition, record.active


def state_of(record: DomainRecord) -> tuple[DomainState, Reason]:
    return record.state, record.reason


def check_record(record: DomainRecord) -> None:
    """What holds for every record."""
    if not record.active:
        assert record.id is None
        assert record.marker is None
        assert record.state in (DomainState.SHUTOFF, DomainState.CRASHED, DomainState.NOSTATE)
    else:
        assert record.state is not DomainState.SHUTOFF
    assert (record.certainty is Certainty.STALE) == (record.stale_since is not None)
