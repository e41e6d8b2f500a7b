"""What one monitor tells, step by step: events, replies of `query-status` and ends in, Items out. Pure.

QMP's events say little and depend on each other, so a small machine keeps the run state that QEMU is believed to be in,
and what was said a moment ago. A read corrects it at any time: a reply comes in order with the events, so it holds
whatever was written before it (but for throttled events, which come late and decide nothing here). The rules:

- What comes before the first reply is in that reply: it is kept as context, its typed events follow the first sight.
- STOP has no reason. It is that of the event before it, of our own work, or of the one behind it; else it is held back
  until `query-status` tells, at most for `STOP_HELD`. It is never lost, and nothing overtakes it.
- The guest's RESETs within `ONE_RESET` of a reset or a wake-up are the firmware's, and no reboot of their own; those of
  a domain that was reset while held come once it runs again. It is "prelaunch" until then.
- POWERDOWN shows the domain on its way down, for `POWERDOWN_SHOWN`: a read that says "running" is believed after that.
- The first SHUTDOWN since the domain ran says why it is off: -no-shutdown sends another one when the process ends.
- An end of the connection is the end of the domain behind a SHUTDOWN whose process did not stay. Else the outcome of
  one attempt to connect again tells: the process died, or nobody knows.

Follows reference/drivers.md §1; `tests/golden/qmp/` has what a real QEMU sends for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from avirt.drivers.qemu.events import Data, Subject, flag, native_event, part, row_of, word
from avirt.drivers.qemu.identity import Identity
from avirt.drivers.qemu.reasons import (
    OURS,
    RESUMED_BY,
    RESUMED_FROM,
    STOPPED_FOR,
    Work,
    cause_of,
    told_as,
)
from avirt.drivers.qemu.states import (
    PASSING,
    GuestPanicAction,
    JobStatus,
    MigrationStatus,
    RunState,
    ShutdownCause,
    WatchdogAction,
    meaning,
    shutoff_reason,
)
from avirt.model.change import Origin
from avirt.model.observation import Cause, Item, NativeEvent, Observation, Overrun, ReadFailed, Seen, Signal
from avirt.model.record import Native
from avirt.model.state import (
    DomainState,
    NormalState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

__all__ = ["Monitor", "Outcome", "Phase", "Step"]

STOP_HELD: Final = 0.25
"""A STOP whose reason nobody told is shown without one after so many seconds; a reply takes less than a millisecond."""
ONE_RESET: Final = 1.0
"""Up to six RESETs of one reset were seen within half a second (7.2, SeaBIOS, TCG)."""
NEIGHBOUR: Final = 1.0
"""An event that says why the next STOP comes is written at the same moment; one that is older belongs to no STOP."""
POWERDOWN_SHOWN: Final = 60.0
"""A guest that heeds the power button is mostly down by then; one that is slower shows its SHUTDOWN all the same."""
RECHECK: Final = 2.0
"""States that QEMU leaves without a word (`PASSING`) are read again after so many seconds."""
EARLY: Final = 1_000
"""Events kept until the first reply."""


class Phase(Enum):
    """Where a monitor stands."""

    CLOSED = auto()
    """Not connected yet, or not again."""
    OPENING = auto()
    """Negotiated; the first reply of `query-status` is awaited."""
    LIVE = auto()
    CUT = auto()
    """The connection ended, and nobody knows yet of what."""
    LOST = auto()
    """The process seems to live, and does not talk to us: stale."""
    OFF = auto()
    """The process is gone."""


class Outcome(Enum):
    """What became of an attempt to connect again."""

    REFUSED = auto()
    """ECONNREFUSED."""
    NO_SOCKET = auto()
    """ENOENT."""
    NO_GREETING = auto()
    """It connects, and nobody greets: another client holds the monitor, or QEMU stands still."""
    FAILED = auto()
    """Any other error: nothing is known."""


class Step(msgspec.Struct, frozen=True):
    """What one input led to.

    Attributes:
        items: for the engine, in order.
        ask: `query-status` is to be asked now, and its reply to be given to `Monitor.status`.
        reconnect: one attempt to connect is to be made now, and its outcome to be given to `Monitor.reconnected`, or
            to `Monitor.opened` if it succeeds.
    """

    items: Sequence[Item] = ()
    ask: bool = False
    reconnect: bool = False


class _Stop(msgspec.Struct, frozen=True):
    """A STOP that is held back until its reason is known."""

    asked: int
    until: float


class _End(msgspec.Struct, frozen=True):
    """Why the domain is off, once it is."""

    reason: ShutoffReason
    cause: Cause


_UNTOUCHED_BY_RESET: Final = frozenset({RunState.INMIGRATE, RunState.FINISH_MIGRATE})
"""softmmu/runstate.c, main_loop_should_exit: any other that is not running becomes prelaunch."""

_NO_RESET: Final = frozenset({ShutdownCause.NONE, ShutdownCause.SUBSYSTEM_RESET, ShutdownCause.SNAPSHOT_LOAD})

_UNSAID: Final = NormalState(DomainState.PAUSED, PausedReason.UNKNOWN)


class Monitor:
    """What is known of the domain behind one monitor, over all its connections.

    Times are the caller's, monotonic; `asked` counts inbound messages (`avirt/model/observation.py`). Of a reply it may
    be the count at its arrival: QMP writes replies and events in one order.

    Args:
        place: where the monitor is (see `identity`).
        persistent: whether the domain outlives its process; None: not said.
        agents: see `Subject`.
    """

    def __init__(self, place: str, *, persistent: bool | None = None, agents: frozenset[str] = frozenset()) -> None:
        self.place: Final = place
        self.persistent = persistent
        self.agents = agents
        self.phase = Phase.CLOSED
        self.who: Identity | None = None
        self.pid: int | None = None
        self.marker: int | str | None = None
        self.work: Work | None = None
        """What avirt does with the domain now; set and unset by whoever does it. It ends with the process."""
        self._items: list[Item] = []
        self._ask = self._reconnect = False
        self._early: list[tuple[str, Data, int]] = []
        self._missed = 0
        self._begin()

    def _begin(self) -> None:
        """Nothing is known of this process."""
        self._run = RunState.RUNNING
        self._shown: NormalState | None = None
        self._up = RunningReason.UNKNOWN
        self._down = ShutdownReason.UNKNOWN
        self._asleep = False
        self._hint: tuple[RunState, float] | None = None
        self._stop: _Stop | None = None
        self._behind: list[Item] = []
        self._reset_until = 0.0
        self._reset_held = False
        self._power: float | None = None
        self._recheck: float | None = None
        self._jobs: set[str] = set()
        self._end: _End | None = None
        self._stays = False

    @property
    def due(self) -> float | None:
        """When `wake` is to be called at the latest; None: not at all."""
        held = None if self._stop is None else self._stop.until
        return min((at for at in (self._power, self._recheck, held) if at is not None), default=None)

    # ------------------------------------------------------------ inputs

    def opened(self) -> Step:
        """A connection is negotiated: events may come. Ask who it is, then `identified`, then `status`."""
        self.phase = Phase.OPENING
        self._missed = 0
        self._jobs.clear()
        return self._step()

    def identified(self, who: Identity, pid: int | None, marker: int | str | None, *, asked: int) -> Step:
        """Who answers. Another process than before is another incarnation: the old one's end is told first.

        Args:
            pid, marker: process id and start time; None: not known.
        """
        before = self.who
        if before is not None and self._shown and (before.key, self.pid, self.marker) != (who.key, pid, marker):
            self._off(self._why_it_died(), asked)
            self.phase = Phase.OPENING
        self.who, self.pid, self.marker = who, pid, marker
        self._ask = True
        return self._step()

    def event(self, event: str, data: Data, *, asked: int, now: float) -> Step:
        """An event, whatever it is."""
        if self.phase is Phase.OPENING:
            if len(self._early) < EARLY:
                self._early.append((event, data, asked))
            else:
                self._missed += 1
        elif self.phase is Phase.LIVE:
            self._take(event, data, asked, now)
        return self._step()

    def status(
        self, status: str, running: bool | None, *, asked: int, now: float, origin: Origin = Origin.POLL
    ) -> Step:
        """A reply of `query-status`. The last Seen among the items is the read."""
        first = self.phase is Phase.OPENING
        if not first and self.phase is not Phase.LIVE:
            return self._step()
        typed = self._take_early(now)
        self.phase = Phase.LIVE
        run = RunState(status)
        if run is RunState.RUNNING and self._end is not None and self._end.cause.event == "SHUTDOWN":
            run = RunState.SHUTDOWN  # on its way out: only RESUME would bring it back
        self._run = run
        self._asleep = run is RunState.SUSPENDED or (self._asleep and run is RunState.PAUSED)
        if run is not RunState.RUNNING:
            self._power = None
        if status == RunState.SHUTDOWN:
            self._stays = True
            self._end = self._end or _End(ShutoffReason.SHUTDOWN, Cause("query-status", "", status))
        normal = self._meaning(running, now)
        stuck = run is RunState.RESTORE_VM and not self._jobs and not first
        if stuck:  # a revert that failed: QEMU stays there until someone resumes or resets it (seen on 7.2)
            normal = replace(normal, transition=None)
        self._recheck = now + RECHECK if run in PASSING and not stuck else None
        if self._stop is not None:
            self._tell_stop(normal if normal.state is not DomainState.RUNNING else _UNSAID)
        self._shown = normal
        native: Native = {"status": status} if running is None else {"status": status, "running": int(running)}
        self._items.append(Seen(self._seen(normal, native, asked, origin)))
        self._items += typed
        if self._missed:
            self._items.append(Overrun(f"{self._missed} events of {self.place} came before its first reply"))
            self._missed = 0
        return self._step()

    def wake(self, now: float) -> Step:
        """Something came due."""
        if self._stop is not None and now >= self._stop.until:
            self._tell_stop(_UNSAID)
        if self._power is not None and now >= self._power:
            self._power = None
            self._ask = True
        if self._recheck is not None and now >= self._recheck:
            self._recheck = None
            self._ask = True
        return self._step()

    def eof(self, *, asked: int) -> Step:
        """The connection ended."""
        self._items = self._take_early(0.0)
        if self._stop is not None:
            self._tell_stop(_UNSAID)
        self._power = self._recheck = None
        if self._end is not None and not self._stays:
            self._off(self._end, asked)
        else:
            self.phase = Phase.CUT
            self._reconnect = True
        return self._step()

    def reconnected(self, outcome: Outcome, *, alive: bool | None, asked: int) -> Step:
        """The attempt to connect again failed. To be called after each, until the domain is off or answers.

        Args:
            alive: whether the process with our pid and marker is there; None: nobody can tell.
        """
        gone = outcome in (Outcome.REFUSED, Outcome.NO_SOCKET)
        if alive is False or (alive is None and gone):
            self._off(self._why_it_died(outcome), asked)
        elif self.phase is not Phase.LOST:
            self.phase = Phase.LOST
            if self.who is not None:
                self._items.append(ReadFailed(self.who.key, _WHY_LOST[outcome]))
        return self._step()

    def _step(self) -> Step:
        step = Step(tuple(self._items), self._ask, self._reconnect)
        self._items, self._ask, self._reconnect = [], False, False
        return step

    # ------------------------------------------------------------ events

    def _take_early(self, now: float) -> list[Item]:
        """What came before the first reply, as context; the typed events of it."""
        early, self._early = self._early, []
        for event, data, asked in early:
            self._take(event, data, asked, now)
        typed, self._items = self._items, []
        self._ask = False
        return typed

    def _take(self, event: str, data: Data, asked: int, now: float) -> None:
        row = row_of(event)
        if row.make is not None and self.who is not None:
            typed = native_event(event, Subject(self.who.key, self.who.name, self.agents), data)
            if typed is not None:
                (self._items if self._stop is None else self._behind).append(NativeEvent(typed, asked))
        handler = self._HANDLERS.get(event)
        if handler is not None:
            handler(self, data, asked, now)

    def _on_powerdown(self, _: Data, asked: int, now: float) -> None:
        if self._run is RunState.RUNNING:  # a domain that is held does not feel it
            self._power = now + POWERDOWN_SHOWN
            self._tell("POWERDOWN", self._meaning(True, now), asked)

    def _on_shutdown(self, data: Data, asked: int, now: float) -> None:
        cause = cause_of(data)
        self._stays = False
        if self._end is None:
            reason = shutoff_reason(cause)
            self._end = _End(self._left_for(reason), told_as("SHUTDOWN", data, cause))
        if self._power is not None:
            self._down, self._power = ShutdownReason.USER, None
        if cause is ShutdownCause.GUEST_PANIC and self._run is RunState.GUEST_PANICKED:
            return  # crashed until its process ends
        self._run = RunState.SHUTDOWN
        self._hint = (RunState.SHUTDOWN, now + NEIGHBOUR)
        self._tell("SHUTDOWN", self._meaning(False, now), asked, told_as("SHUTDOWN", data, cause))

    def _on_reset(self, data: Data, asked: int, now: float) -> None:
        cause = cause_of(data)
        if word(data, "reason") and cause in _NO_RESET:
            return
        held = self._run is not RunState.RUNNING
        if held and self._run not in _UNTOUCHED_BY_RESET:
            self._run = RunState.PRELAUNCH
            self._asleep, self._reset_held = False, True
        if now < self._reset_until and flag(data, "guest") is not False:  # the firmware's; a command is always told
            self._ask = self._ask or held
            return
        self._reset_until = now + ONE_RESET
        self._power = None
        if not held:
            self._up = RunningReason.BOOTED
        self._tell("RESET", self._meaning(not held, now), asked, told_as("RESET", data, cause), always=True)

    def _on_stop(self, _: Data, asked: int, now: float) -> None:
        hint = self._hint_of(now)
        self._power = None
        if hint is RunState.SHUTDOWN:
            self._stays = True
        if hint is None and self.work is not None:
            hint = STOPPED_FOR.get(self.work)
        if hint is not None:
            self._run = hint
            self._tell("STOP", self._meaning(False, now), asked)
        else:
            self._run = RunState.PAUSED
            if self.phase is Phase.LIVE:
                self._stop = _Stop(asked, now + STOP_HELD)
                self._ask = True

    def _on_resume(self, _: Data, asked: int, now: float) -> None:
        before = self._run
        self._end = None
        self._stays = False
        self._down = ShutdownReason.UNKNOWN
        self._recheck = None
        if self._reset_held:  # now the firmware runs, and sends its own
            self._reset_held = False
            self._reset_until = now + ONE_RESET
        if self._asleep:  # newer QEMUs hold a sleeping guest: it goes on sleeping
            self._run = RunState.SUSPENDED
            self._tell("RESUME", self._meaning(None, now), asked)
            self._ask = True
            return
        self._run = RunState.RUNNING
        if self._shown is None:  # before anything was read of it: nobody knows where it was
            self._up = RunningReason.UNKNOWN
        else:
            self._up = RESUMED_FROM.get(before, RunningReason.UNPAUSED)
            if self.work is not None:
                self._up = RESUMED_BY.get((self.work, before), self._up)
        self._tell("RESUME", self._meaning(True, now), asked)

    def _on_suspend(self, _: Data, asked: int, now: float) -> None:
        self._run, self._asleep, self._power = RunState.SUSPENDED, True, None
        self._tell("SUSPEND", self._meaning(None, now), asked)

    def _on_wakeup(self, _: Data, asked: int, now: float) -> None:
        self._run, self._asleep = RunState.RUNNING, False
        self._up = RunningReason.WAKEUP
        self._reset_until = now + ONE_RESET  # the firmware goes through a reset: no reboot
        self._tell("WAKEUP", self._meaning(True, now), asked)

    def _on_watchdog(self, data: Data, _: int, now: float) -> None:
        action = WatchdogAction(word(data, "action"))
        if action is WatchdogAction.PAUSE:
            self._give_hint(RunState.WATCHDOG, now)
        elif action is WatchdogAction.POWEROFF and self._end is None:
            self._end = _End(ShutoffReason.CRASHED, Cause("WATCHDOG", "", action))

    def _on_io_error(self, data: Data, _: int, now: float) -> None:
        if word(data, "action") == "stop":
            self._give_hint(RunState.IO_ERROR, now)

    def _on_panicked(self, data: Data, asked: int, now: float) -> None:
        action = word(data, "action")
        if action in (GuestPanicAction.PAUSE, GuestPanicAction.POWEROFF):
            self._hint = (RunState.GUEST_PANICKED, now + NEIGHBOUR)
            self._run, self._power = RunState.GUEST_PANICKED, None
        elif action == GuestPanicAction.RUN:
            self._up = RunningReason.CRASHED
        else:
            self._ask = True
            return
        cause = Cause("GUEST_PANICKED", word(part(data, "info"), "type"), action)
        self._tell("GUEST_PANICKED", self._meaning(self._run is RunState.RUNNING, now), asked, cause)

    def _on_crashloaded(self, data: Data, asked: int, now: float) -> None:
        self._up = RunningReason.CRASHED
        cause = Cause("GUEST_CRASHLOADED", "", word(data, "action"))
        self._tell("GUEST_CRASHLOADED", self._meaning(True, now), asked, cause)

    def _on_migration(self, data: Data, _: int, now: float) -> None:
        status = MigrationStatus(word(data, "status"))
        after = _MIGRATED_TO.get(status)
        if self._stop is not None and after is not None:  # that was why it stopped
            self._run = after
            self._tell_stop(self._meaning(False, now))
        if status in _MIGRATION_OVER:
            self._ask = True
        if status is MigrationStatus.COMPLETED and self._run is RunState.FINISH_MIGRATE:
            self._run = RunState.POSTMIGRATE  # the read will show it; whoever quits now, quits a source that is done

    def _on_job(self, data: Data, _asked: int, _now: float) -> None:
        job, status = word(data, "id"), JobStatus(word(data, "status"))
        if status in (JobStatus.CONCLUDED, JobStatus.NULL):
            self._jobs.discard(job)
            self._ask = self._ask or self._run in PASSING or self._stop is not None
        else:
            self._jobs.add(job)

    _HANDLERS: ClassVar[Mapping[str, Callable[[Monitor, Data, int, float], None]]] = {
        "POWERDOWN": _on_powerdown,
        "SHUTDOWN": _on_shutdown,
        "RESET": _on_reset,
        "STOP": _on_stop,
        "RESUME": _on_resume,
        "SUSPEND": _on_suspend,
        "WAKEUP": _on_wakeup,
        "WATCHDOG": _on_watchdog,
        "BLOCK_IO_ERROR": _on_io_error,
        "GUEST_PANICKED": _on_panicked,
        "GUEST_CRASHLOADED": _on_crashloaded,
        "MIGRATION": _on_migration,
        "JOB_STATUS_CHANGE": _on_job,
    }

    # ------------------------------------------------------------ what it means

    def _give_hint(self, run: RunState, now: float) -> None:
        """The next STOP is for this. What comes late, of a domain that is held already, is of no STOP to come."""
        if self._run is RunState.RUNNING:
            self._hint = (run, now + NEIGHBOUR)

    def _hint_of(self, now: float) -> RunState | None:
        hint, self._hint = self._hint, None
        return hint[0] if hint is not None and now < hint[1] else None

    def _meaning(self, running: bool | None, now: float) -> NormalState:
        """What the run state that QEMU is believed to be in means, with all that is known."""
        run = self._run
        if run is RunState.RUNNING:
            if self._power is not None and now < self._power:
                return NormalState(DomainState.SHUTDOWN, ShutdownReason.USER, Transition.STOPPING)
            self._power = None
            return NormalState(DomainState.RUNNING, self._up)
        if run is RunState.SHUTDOWN:
            return NormalState(DomainState.SHUTDOWN, self._down, Transition.STOPPING)
        ours = None if self.work is None else OURS.get((self.work, run))
        return ours or meaning(run, running)

    def _tell(
        self, event: str, status: NormalState, asked: int, cause: Cause | None = None, *, always: bool = False
    ) -> None:
        """What an event says, unless it shows already."""
        if self.phase is not Phase.LIVE:
            return
        if self._stop is not None:
            self._tell_stop(_UNSAID)
        if status == self._shown and not always:
            return
        self._shown = status
        self._emit(row_of(event).signal, status, asked, cause or Cause(event))

    def _tell_stop(self, status: NormalState) -> None:
        stop = self._stop
        assert stop is not None
        self._stop = None
        self._shown = status
        self._emit(row_of("STOP").signal, status, stop.asked, Cause("STOP"))
        self._items += self._behind
        self._behind = []

    def _emit(self, signal: Signal | None, status: NormalState, asked: int, cause: Cause) -> None:
        native = {"event": cause.event, "type": cause.type, "detail": cause.detail}
        seen = self._seen(status, native, asked, Origin.EVENT)
        self._items.append(Seen(replace(seen, signal=signal, cause=cause)))

    def _seen(self, status: NormalState, native: Native, asked: int, origin: Origin) -> Observation:
        who = self.who
        assert who is not None, "status() comes after identified()"
        return Observation(
            key=who.key,
            name=who.name,
            status=status,
            active=status.state is not DomainState.SHUTOFF,
            persistent=self.persistent,
            id=self.pid,
            marker=self.marker if status.state is not DomainState.SHUTOFF else None,
            native={**native, "synthetic": 1} if who.synthetic else native,
            origin=origin,
            asked=asked,
        )

    # ------------------------------------------------------------ the end

    def _left_for(self, reason: ShutoffReason) -> ShutoffReason:
        """Why it is off, where something else than QEMU knows better: quit after a migration, or a save."""
        return (self._moved_out() or reason) if reason is ShutoffReason.DESTROYED else reason

    def _moved_out(self) -> ShutoffReason | None:
        # whoever migrates it quits it once that is done, and may know so before it was read
        about_to = self._run is RunState.FINISH_MIGRATE and self.work in (Work.SAVE, Work.MIGRATE)
        if not about_to and self._run is not RunState.POSTMIGRATE:
            return None
        return ShutoffReason.SAVED if self.work is Work.SAVE else ShutoffReason.MIGRATED

    def _why_it_died(self, outcome: Outcome | None = None) -> _End:
        if self._end is not None:
            return self._end
        cause = Cause("EOF", "", "" if outcome is None else outcome.name.lower())
        if self.work is Work.KILL:
            return _End(ShutoffReason.DESTROYED, cause)
        if self._run is RunState.INMIGRATE:  # a migration that can't be taken in ends QEMU (seen on 7.2)
            return _End(ShutoffReason.FAILED, cause)
        return _End(self._moved_out() or ShutoffReason.CRASHED, cause)

    def _off(self, end: _End, asked: int) -> None:
        if self.who is not None:
            self._emit(Signal.STOPPED, NormalState(DomainState.SHUTOFF, end.reason), asked, end.cause)
        self._begin()
        self.work = None
        self.phase = Phase.OFF


_WHY_LOST: Final[Mapping[Outcome, str]] = {
    Outcome.REFUSED: "the process is there, but its monitor refuses connections",
    Outcome.NO_SOCKET: "the process is there, but its monitor's socket is gone",
    Outcome.NO_GREETING: "the monitor does not greet: another client holds it, or QEMU stands still",
    Outcome.FAILED: "the monitor can't be reached",
}

_MIGRATION_OVER: Final = frozenset({MigrationStatus.COMPLETED, MigrationStatus.FAILED, MigrationStatus.CANCELLED})

_MIGRATED_TO: Final[Mapping[MigrationStatus, RunState]] = {
    # what a STOP was for, by the word that follows it
    MigrationStatus.PRE_SWITCHOVER: RunState.FINISH_MIGRATE,
    MigrationStatus.DEVICE: RunState.FINISH_MIGRATE,
    MigrationStatus.COMPLETED: RunState.POSTMIGRATE,
}
