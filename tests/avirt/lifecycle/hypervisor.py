"""A small model of a hypervisor with libvirt's event orders, and the link to it.

Events come in order; replies come when they like, and show the domain at any moment between question and answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from avirt.lifecycle import slices
from avirt.model.observation import Gone, ListingSlice, Observation, Scope, Seen, Signal
from avirt.model.observation import Listing as Answer
from avirt.model.record import DomainRecord, Key, key_of
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    PausedReason,
    PMSuspendedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

S = DomainState
OFF = NormalState(S.SHUTOFF, ShutoffReason.UNKNOWN)

KEYS = tuple(key_of(UUID(int=number)) for number in range(1, 4))


@dataclass
class Speech:
    """What this hypervisor says of a domain, beside its state."""

    ids: bool = True
    markers: bool = True
    persistence: bool = True
    stale_ids: bool = False
    """It prints the id of the last run for an inactive domain, and in STOPPED events."""


@dataclass
class Domain:
    key: Key
    name: str
    persistent: bool
    status: NormalState = OFF
    id: int | None = None
    last_id: int | None = None
    boots: int = 0

    @property
    def active(self) -> bool:
        return self.id is not None


@dataclass
class Hypervisor:
    """What is true, and what was told of it and did not arrive yet."""

    speech: Speech = field(default_factory=Speech)
    domains: dict[Key, Domain] = field(default_factory=dict)
    told: deque[Observation] = field(default_factory=deque)
    ids: int = 0
    names: int = 0
    stops: dict[Key, int] = field(default_factory=dict)
    starts: dict[Key, int] = field(default_factory=dict)
    removals: dict[Key, int] = field(default_factory=dict)

    # ------------------------------------------------------------ telling

    def _tell(
        self,
        domain: Domain,
        signal: Signal,
        status: NormalState | None = None,
        active: bool | None = None,
        persistent: bool | None = None,
        name: str | None = None,
    ) -> None:
        id = domain.id if domain.id is not None else domain.last_id if self.speech.stale_ids else -1
        self.told.append(
            Observation(
                key=domain.key,
                name=name or domain.name,
                status=status,
                active=active,
                persistent=persistent,
                id=id if self.speech.ids else None,
                signal=signal,
            )
        )

    def seen(self, domain: Domain) -> Observation:
        """What a read shows of a domain."""
        speech = self.speech
        id = domain.id if domain.id is not None else domain.last_id if speech.stale_ids else None
        return Observation(
            key=domain.key,
            name=domain.name,
            status=domain.status,
            active=domain.active,
            persistent=domain.persistent if speech.persistence else None,
            id=id if speech.ids else None,
            marker=domain.boots if speech.markers else None,
        )

    # ------------------------------------------------------------ what happens

    def _on(self, domain: Domain) -> None:
        self.ids += 1
        domain.id = domain.last_id = self.ids
        domain.boots += 1
        self.starts[domain.key] = self.starts.get(domain.key, 0) + 1

    def _off(self, domain: Domain, reason: ShutoffReason) -> None:
        domain.id = None
        domain.status = NormalState(S.SHUTOFF, reason)
        self.stops[domain.key] = self.stops.get(domain.key, 0) + 1
        if not domain.persistent:
            self._forget(domain)
        self._tell(domain, Signal.STOPPED, domain.status, False)

    def _forget(self, domain: Domain) -> None:
        del self.domains[domain.key]
        self.removals[domain.key] = self.removals.get(domain.key, 0) + 1

    def _set(self, domain: Domain, signal: Signal, status: NormalState) -> None:
        domain.status = status
        self._tell(domain, signal, status, True)

    def define(self, key: Key) -> bool:
        domain = self.domains.get(key)
        if domain is None:
            self.names += 1
            domain = self.domains[key] = Domain(key, f"d{self.names}", True)
        domain.persistent = True
        self._tell(domain, Signal.DEFINED, persistent=True)
        return True

    def create(self, key: Key) -> bool:
        if key in self.domains:
            return False
        self.names += 1
        self.domains[key] = Domain(key, f"d{self.names}", False)
        return self.start(key)

    def undefine(self, key: Key) -> bool:
        domain = self.domains.get(key)
        if domain is None or not domain.persistent:
            return False
        domain.persistent = False
        if not domain.active:
            self._forget(domain)
        self._tell(domain, Signal.UNDEFINED, persistent=False)
        return True

    def _inactive(self, key: Key) -> Domain | None:
        domain = self.domains.get(key)
        return domain if domain is not None and not domain.active else None

    def _in(self, key: Key, *states: DomainState) -> Domain | None:
        domain = self.domains.get(key)
        return domain if domain is not None and domain.active and domain.status.state in states else None

    def start(self, key: Key) -> bool:
        domain = self._inactive(key)
        if domain is None:
            return False
        self._on(domain)
        self._set(domain, Signal.RESUMED, NormalState(S.RUNNING, RunningReason.UNPAUSED))
        self._set(domain, Signal.STARTED, NormalState(S.RUNNING, RunningReason.BOOTED))
        return True

    def start_paused(self, key: Key) -> bool:
        domain = self._inactive(key)
        if domain is None:
            return False
        self._on(domain)
        domain.status = NormalState(S.PAUSED, PausedReason.USER)
        self._tell(domain, Signal.STARTED, NormalState(S.RUNNING, RunningReason.BOOTED), True)
        self._tell(domain, Signal.SUSPENDED, domain.status, True)
        return True

    def restore(self, key: Key) -> bool:
        domain = self._inactive(key)
        if domain is None:
            return False
        self._on(domain)
        self._tell(domain, Signal.STARTED, None, True)
        domain.status = NormalState(S.RUNNING, RunningReason.RESTORED)
        self._tell(domain, Signal.RESUMED, NormalState(S.RUNNING, RunningReason.FROM_SNAPSHOT), True)
        return True

    def revert_paused(self, key: Key) -> bool:
        """Only a read tells how it stands."""
        domain = self._inactive(key)
        if domain is None:
            return False
        self._on(domain)
        domain.status = NormalState(S.PAUSED, PausedReason.FROM_SNAPSHOT)
        self._tell(domain, Signal.STARTED, None, True)
        return True

    def suspend(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        self._set(domain, Signal.SUSPENDED, NormalState(S.PAUSED, PausedReason.USER))
        return True

    def resume(self, key: Key) -> bool:
        domain = self._in(key, S.PAUSED)
        if domain is None:
            return False
        self._set(domain, Signal.RESUMED, NormalState(S.RUNNING, RunningReason.UNPAUSED))
        return True

    def sleep(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        self._set(domain, Signal.PMSUSPENDED, NormalState(S.PMSUSPENDED, PMSuspendedReason.UNKNOWN))
        return True

    def awake(self, key: Key) -> bool:
        domain = self._in(key, S.PMSUSPENDED)
        if domain is None:
            return False
        self._set(domain, Signal.STARTED, NormalState(S.RUNNING, RunningReason.WAKEUP))
        return True

    def shutdown(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        self._set(domain, Signal.SHUTDOWN, NormalState(S.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING))
        return True

    def power_off(self, key: Key) -> bool:
        domain = self._in(key, S.SHUTDOWN)
        if domain is None:
            return False
        self._off(domain, ShutoffReason.SHUTDOWN)
        return True

    def destroy(self, key: Key) -> bool:
        domain = self._in(key, *S)
        if domain is None:
            return False
        if domain.status.state is not S.SHUTDOWN:
            self._set(domain, Signal.SHUTDOWN, NormalState(S.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING))
        self._off(domain, ShutoffReason.DESTROYED)
        return True

    def save(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        self._set(domain, Signal.SUSPENDED, NormalState(S.PAUSED, PausedReason.USER))
        self._off(domain, ShutoffReason.SAVED)
        return True

    def crash(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        self._set(domain, Signal.CRASHED, NormalState(S.CRASHED, CrashedReason.PANICKED))
        return True

    def reboot(self, key: Key) -> bool:
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        domain.boots += 1
        self._tell(domain, Signal.REBOOTED)
        return True

    def restart(self, key: Key) -> bool:
        """A reboot that really stops and starts."""
        domain = self._in(key, S.RUNNING)
        if domain is None:
            return False
        domain.id = None
        self._tell(domain, Signal.STOPPED, NormalState(S.SHUTOFF, ShutoffReason.UNKNOWN, Transition.REBOOTING), False)
        self.stops[domain.key] = self.stops.get(domain.key, 0) + 1
        self._on(domain)
        self._set(domain, Signal.STARTED, NormalState(S.RUNNING, RunningReason.BOOTED))
        return True

    def rename(self, key: Key) -> bool:
        domain = self._inactive(key)
        if domain is None:
            return False
        old = domain.name
        self.names += 1
        domain.name = f"d{self.names}"
        self._tell(domain, Signal.RENAMED_FROM, name=old)
        self._tell(domain, Signal.RENAMED, persistent=True)
        return True


ACTIONS = (
    Hypervisor.define,
    Hypervisor.create,
    Hypervisor.undefine,
    Hypervisor.start,
    Hypervisor.start_paused,
    Hypervisor.restore,
    Hypervisor.revert_paused,
    Hypervisor.suspend,
    Hypervisor.resume,
    Hypervisor.sleep,
    Hypervisor.awake,
    Hypervisor.shutdown,
    Hypervisor.power_off,
    Hypervisor.destroy,
    Hypervisor.save,
    Hypervisor.crash,
    Hypervisor.reboot,
    Hypervisor.restart,
    Hypervisor.rename,
)


@dataclass
class Call:
    """A read that was asked for. `key` None: a listing."""

    key: Key | None
    asked: int
    answer: Seen | Gone | list[Observation] | None = None


@dataclass
class Link:
    """A connection: counts messages, carries events in order and replies in any."""

    hypervisor: Hypervisor
    count: int = 0
    calls: list[Call] = field(default_factory=list)

    def ask(self, key: Key | None) -> None:
        """The bytes of a call are written."""
        self.calls.append(Call(key, self.count))

    def process(self, call: Call) -> None:
        """The hypervisor looks, and will answer."""
        if call.answer is not None:
            return
        domains = self.hypervisor.domains
        if call.key is None:
            call.answer = [self.hypervisor.seen(domain) for domain in domains.values()]
        else:
            domain = domains.get(call.key)
            call.answer = Gone(call.key, call.asked) if domain is None else Seen(self._asked(domain, call.asked))

    def _asked(self, domain: Domain, asked: int) -> Observation:
        seen = self.hypervisor.seen(domain)
        return Observation(
            key=seen.key,
            name=seen.name,
            status=seen.status,
            active=seen.active,
            persistent=seen.persistent,
            id=seen.id,
            marker=seen.marker,
            asked=asked,
        )

    def reply(self, call: Call) -> Iterator[Seen | Gone | ListingSlice]:
        """The reply arrives: what to feed, one by one."""
        self.process(call)
        self.calls.remove(call)
        self.count += 1
        if isinstance(call.answer, list):
            yield from slices(Answer(Scope.ALL, True, call.asked, call.answer), 2)
        elif call.answer is not None:
            yield call.answer

    def event(self) -> Seen | None:
        """The next event arrives."""
        if not self.hypervisor.told:
            return None
        told = self.hypervisor.told.popleft()
        self.count += 1
        return Seen(
            Observation(
                key=told.key,
                name=told.name,
                status=told.status,
                active=told.active,
                persistent=told.persistent,
                id=told.id,
                signal=told.signal,
                asked=self.count,
            )
        )


def differences(hypervisor: Hypervisor, records: dict[Key, DomainRecord]) -> list[str]:
    """Where a view is not what is true."""
    found = [f"{key[-1]}: shown, but gone" for key in records.keys() - hypervisor.domains.keys()]
    for key, domain in hypervisor.domains.items():
        record = records.get(key)
        if record is None:
            found.append(f"{key[-1]}: not shown")
            continue
        shown = (record.name, record.state, record.reason, record.active)
        true = (domain.name, domain.status.state, domain.status.reason, domain.active)
        if shown != true:
            found.append(f"{key[-1]}: {shown}, but {true}")
        if hypervisor.speech.ids and record.id != domain.id:
            found.append(f"{key[-1]}: id {record.id}, but {domain.id}")
        if hypervisor.speech.persistence and record.persistent is not domain.persistent:
            found.append(f"{key[-1]}: persistent {record.persistent}, but {domain.persistent}")
    return found


def any_action(random: Random, hypervisor: Hypervisor) -> None:
    """Something happens."""
    while not random.choice(ACTIONS)(hypervisor, random.choice(KEYS)):
        pass
