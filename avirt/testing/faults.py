"""Faults of simulated peers, as data: a rule says what goes wrong, on which connection, after what, how often.

    sim.faults.add(Cut(after_bytes=1234))      # the same as sim.faults.cut(after_bytes=1234)
    sim.faults.add(LoseEvent(event=0, skip=2)) # the third lifecycle event is never told
    sim.faults.struck["lose_event"]            # how often it struck
    sim.faults.clear()                         # all is well again; what was held back goes out

The rules stand in `rules.py`. Nothing here does anything: streams (`stream.py`) and simulators (`simulators/`) ask, and
obey.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from avirt.drivers.sim.life import Step
from avirt.testing.rules import (
    Cut,
    Delay,
    Direction,
    FailCall,
    Fragment,
    Hang,
    LateReply,
    LoseEvent,
    RefuseAuth,
    RefuseConnection,
    Reorder,
    RepeatEvent,
    ReplaceHost,
    Restart,
    Rule,
    Silence,
    SlowAccept,
    Storm,
    Where,
)

__all__ = ["WireFaults"]

R = TypeVar("R", bound=Rule)


class _Active:
    """A rule in force, and how far it is."""

    __slots__ = ("kind", "left", "passed", "rule", "skip")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.kind = type(rule)
        self.skip = rule.skip
        self.left = rule.times
        self.passed: Counter[int] = Counter()
        """Of a `Cut`: bytes by connection."""


class WireFaults:
    """The rules in force for one simulated peer.

    Attributes:
        struck: how often each kind of fault struck, by its name; a simulator's `stop`, too.
        on_added, on_cleared: told when rules come and go. Set by the simulator.
        on_struck: told the name of each fault when it strikes.
    """

    def __init__(self) -> None:
        self.struck: Counter[str] = Counter()
        self.on_added: Callable[[Rule], None] = _nothing
        self.on_cleared: Callable[[], None] = lambda: None
        self.on_struck: Callable[[str], None] = lambda _name: None
        self._active: list[_Active] = []
        self._kinds: frozenset[type[Rule]] = frozenset()

    def __repr__(self) -> str:
        return f"<WireFaults {', '.join(map(repr, self.rules)) or 'none'}>"

    @property
    def rules(self) -> Sequence[Rule]:
        """Those in force."""
        return [active.rule for active in self._active]

    # ------------------------------------------------------------ laying down and taking back

    def add(self, rule: R) -> R:
        """A rule is in force from now on; in order of coming, where several fit."""
        self._active.append(_Active(rule))
        self._count()
        self.on_added(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take one back. Nothing happens if it is over already."""
        self._active = [active for active in self._active if active.rule is not rule]
        self._count()
        self.on_cleared()

    def clear(self) -> None:
        """All is well again; what was held back goes out now."""
        self._active.clear()
        self._count()
        self.on_cleared()

    def cut(self, *, after_bytes: int = 0, direction: Direction = Direction.OUT, where: Where | int = Where.ANY) -> Cut:
        """See `Cut`."""
        return self.add(Cut(after_bytes=after_bytes, direction=direction, where=where))

    def delay(self, seconds: float, *, direction: Direction = Direction.OUT, where: Where | int = Where.ANY) -> Delay:
        """See `Delay`."""
        return self.add(Delay(seconds=seconds, direction=direction, where=where))

    def fragment(
        self, size: int = 1, *, direction: Direction = Direction.OUT, where: Where | int = Where.ANY
    ) -> Fragment:
        """See `Fragment`."""
        return self.add(Fragment(size=size, direction=direction, where=where))

    def silence(self, *, direction: Direction | None = None, where: Where | int = Where.ANY) -> Silence:
        """See `Silence`."""
        return self.add(Silence(direction=direction, where=where))

    def reorder(self, depth: int = 2, *, within: float = 0.02, where: Where | int = Where.ANY) -> Reorder:
        """See `Reorder`."""
        return self.add(Reorder(depth=depth, within=within, where=where))

    def late_reply(self, seconds: float, *, procedure: str = "", domain: str = "") -> LateReply:
        """See `LateReply`."""
        return self.add(LateReply(seconds=seconds, procedure=procedure, domain=domain))

    def fail_call(
        self, code: int, *, text: str = "simulated failure", procedure: str = "", domain: str = "", times: int = 1
    ) -> FailCall:
        """See `FailCall`."""
        return self.add(FailCall(code=code, text=text, procedure=procedure, domain=domain, times=times))

    def hang(
        self, domain: str, *, bulk: bool = False, spares_state: bool = False, busy_after: float | None = None
    ) -> Hang:
        """See `Hang`."""
        return self.add(Hang(domain=domain, bulk=bulk, spares_state=spares_state, busy_after=busy_after))

    def lose_event(self, times: int = 1, *, event: int | None = None, domain: str = "") -> LoseEvent:
        """See `LoseEvent`."""
        return self.add(LoseEvent(times=times, event=event, domain=domain))

    def repeat_event(self, times: int = 1, *, event: int | None = None, domain: str = "") -> RepeatEvent:
        """See `RepeatEvent`."""
        return self.add(RepeatEvent(times=times, event=event, domain=domain))

    def storm(self, events: int = 1000) -> Storm:
        """See `Storm`."""
        return self.add(Storm(events=events))

    def restart(self, *, down: float = 0.0, steps: Sequence[Step] = ()) -> Restart:
        """See `Restart`."""
        return self.add(Restart(down=down, steps=tuple(steps)))

    def replace_host(self, *, hostname: str = "") -> ReplaceHost:
        """See `ReplaceHost`."""
        return self.add(ReplaceHost(hostname=hostname))

    def refuse_connection(self, times: int | None = None) -> RefuseConnection:
        """See `RefuseConnection`."""
        return self.add(RefuseConnection(times=times))

    def slow_accept(self, seconds: float) -> SlowAccept:
        """See `SlowAccept`."""
        return self.add(SlowAccept(seconds=seconds))

    def refuse_auth(self, times: int | None = None) -> RefuseAuth:
        """See `RefuseAuth`."""
        return self.add(RefuseAuth(times=times))

    # ------------------------------------------------------------ for streams and simulators

    def holds(self, kind: type[Rule]) -> bool:
        """Whether there is any rule of a kind: the cheap question before the others."""
        return kind in self._kinds

    def find(self, kind: type[R], number: int, is_events: bool, fits: Callable[[R], bool] | None = None) -> R | None:
        """The first rule of a kind for a connection, without striking."""
        return next((rule for _, rule in self._fitting(kind, number, is_events, fits)), None)

    def strike(self, kind: type[R], number: int, is_events: bool, fits: Callable[[R], bool] | None = None) -> R | None:
        """An occasion for this kind of fault: the rule that strikes, or None. What is used up ends."""
        for active, rule in self._fitting(kind, number, is_events, fits):
            if active.skip:
                active.skip -= 1
                continue
            self._strike(active)
            return rule
        return None

    def _fitting(
        self, kind: type[R], number: int, is_events: bool, fits: Callable[[R], bool] | None
    ) -> Iterator[tuple[_Active, R]]:
        if kind not in self._kinds:
            return
        for active in self._active:
            if active.kind is kind:
                rule = cast("R", active.rule)
                if _is_there(rule, number, is_events) and (fits is None or fits(rule)):
                    yield active, rule

    def count(self, rule: Rule) -> None:
        """It struck, and goes on."""
        self.note(rule.name())

    def note(self, name: str) -> None:
        """A fault of this name struck."""
        self.struck[name] += 1
        self.on_struck(name)

    def spend(self, rule: Rule) -> None:
        """It struck, and is over."""
        self.count(rule)
        self._active = [active for active in self._active if active.rule is not rule]
        self._count()

    def room(self, direction: Direction, number: int, is_events: bool) -> int | None:
        """So many bytes may pass before this connection is cut; None: no limit."""
        if Cut not in self._kinds:
            return None
        rooms = [
            active.rule.after_bytes - active.passed[number]
            for active in self._active
            if isinstance(active.rule, Cut)
            and active.rule.direction is direction
            and _is_there(active.rule, number, is_events)
        ]
        return max(0, min(rooms)) if rooms else None

    def passed(self, direction: Direction, number: int, is_events: bool, size: int) -> bool:
        """These bytes have passed; True: this connection is cut now."""
        if Cut not in self._kinds:
            return False
        for active in self._active:
            rule = active.rule
            if isinstance(rule, Cut) and rule.direction is direction and _is_there(rule, number, is_events):
                active.passed[number] += size
                if active.passed[number] >= rule.after_bytes:
                    self._strike(active)
                    return True
        return False

    def _strike(self, active: _Active) -> None:
        self.count(active.rule)
        if active.left is not None:
            active.left -= 1
            if active.left <= 0:
                self._active.remove(active)
                self._count()

    def _count(self) -> None:
        self._kinds = frozenset(type(active.rule) for active in self._active)


def _nothing(rule: Rule) -> None:
    """No simulator obeys these rules yet."""


def _is_there(rule: Rule, number: int, is_events: bool) -> bool:
    where = rule.where
    if where is Where.ANY:
        return True
    if isinstance(where, Where):
        return is_events is (where is Where.EVENTS)
    return where == number
