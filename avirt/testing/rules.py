"""The rules of `faults.py`: what can go wrong with a simulated peer. Structs, nothing else."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from avirt.drivers.sim.life import Step

__all__ = [
    "RULES",
    "Cut",
    "Delay",
    "Direction",
    "FailCall",
    "Fragment",
    "Hang",
    "LateReply",
    "LoseEvent",
    "RefuseAuth",
    "RefuseConnection",
    "Reorder",
    "RepeatEvent",
    "ReplaceHost",
    "Restart",
    "Rule",
    "Silence",
    "SlowAccept",
    "Storm",
    "Where",
]


class Direction(StrEnum):
    """As the simulated peer sees it."""

    IN = "in"
    """What its clients send."""
    OUT = "out"
    """What it sends to them."""


class Where(StrEnum):
    """On which connections."""

    ANY = "any"
    EVENTS = "events"
    """Those that are told of events."""
    CALLS = "calls"
    """Those that are not."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="rule"):
    """One fault.

    Attributes:
        where: on which connections; a number is the n-th that was accepted, from 0.
        skip: so many occasions pass before it strikes.
        times: how often it strikes; None: until it is taken back.
    """

    where: Where | int = Where.ANY
    skip: int = 0
    times: int | None = None

    @classmethod
    def name(cls) -> str:
        """Its key in `WireFaults.struck`."""
        return str(cls.__struct_config__.tag)


class Cut(Rule, frozen=True, kw_only=True, tag="cut"):
    """A connection ends when so many more bytes have passed, be it in the middle of a frame. 0: all of them, now."""

    after_bytes: int = 0
    direction: Direction = Direction.OUT
    times: int | None = 1


class Delay(Rule, frozen=True, kw_only=True, tag="delay"):
    """Everything in one direction takes this much longer, in order."""

    seconds: float
    direction: Direction = Direction.OUT


class Fragment(Rule, frozen=True, kw_only=True, tag="fragment"):
    """Reads and writes are no longer than this."""

    size: int = 1
    direction: Direction = Direction.OUT


class Silence(Rule, frozen=True, kw_only=True, tag="silence"):
    """A half-open connection: it stays, but nothing comes through. `direction` None: neither way."""

    direction: Direction | None = None


class Reorder(Rule, frozen=True, kw_only=True, tag="reorder"):
    """Replies wait until there are `depth` of them, or for `within` seconds, and go out last first."""

    depth: int = 2
    within: float = 0.02


class LateReply(Rule, frozen=True, kw_only=True, tag="late_reply"):
    """The call is done at once, its reply comes later: others and events overtake it.

    Attributes:
        procedure, domain: only of these; "" for all.
    """

    seconds: float
    procedure: str = ""
    domain: str = ""


class FailCall(Rule, frozen=True, kw_only=True, tag="fail_call"):
    """A call is answered with an error, and nothing is done.

    Attributes:
        code: the protocol's number.
        procedure, domain: only of these; "" for all.
    """

    code: int = 38
    text: str = "simulated failure"
    procedure: str = ""
    domain: str = ""
    times: int | None = 1


class Hang(Rule, frozen=True, kw_only=True, tag="hang"):
    """No read and no verb of this domain is answered; each holds a worker of the daemon.

    Attributes:
        domain: its name.
        bulk: calls about all domains hang, too, as they do while the domain's own lock is held.
        spares_state: its state is still read, which asks no emulator: so it is with a QEMU that was stopped.
        busy_after: the first call hangs for ever, the others are refused after so many seconds, as busy; libvirt
            waits 30 s for the job that holds a domain. None: they all hang.
    """

    domain: str
    bulk: bool = False
    spares_state: bool = False
    busy_after: float | None = None


class LoseEvent(Rule, frozen=True, kw_only=True, tag="lose_event"):
    """An event is never told.

    Attributes:
        event: only of this kind, by its native number; None for all.
        domain: only of this domain, by name; "" for all.
    """

    event: int | None = None
    domain: str = ""
    times: int | None = 1


class RepeatEvent(Rule, frozen=True, kw_only=True, tag="repeat_event"):
    """An event is told `copies` times more. `event`, `domain`: as of `LoseEvent`."""

    event: int | None = None
    domain: str = ""
    copies: int = 1
    times: int | None = 1


class Storm(Rule, frozen=True, kw_only=True, tag="storm"):
    """At once, so many events of domains that run: suspended and resumed in turn, which leaves them as they were."""

    events: int = 1000
    times: int | None = 1


class Restart(Rule, frozen=True, kw_only=True, tag="restart"):
    """At once, the peer ends, and is there again after a while.

    Attributes:
        down: seconds in which nobody listens.
        steps: what happens meanwhile, seen by nobody; what can't be done is left out, times do not count.
    """

    down: float = 0.0
    steps: tuple[Step, ...] = ()
    times: int | None = 1


class ReplaceHost(Rule, frozen=True, kw_only=True, tag="replace_host"):
    """At once, another host answers in its place, with another uuid and without domains.

    Attributes:
        hostname: the other host's; "" for the same.
    """

    hostname: str = ""
    times: int | None = 1


class RefuseConnection(Rule, frozen=True, kw_only=True, tag="refuse_connection"):
    """New connections are closed as soon as they are accepted."""


class SlowAccept(Rule, frozen=True, kw_only=True, tag="slow_accept"):
    """New connections are accepted, and looked at only after this."""

    seconds: float


class RefuseAuth(Rule, frozen=True, kw_only=True, tag="refuse_auth"):
    """Who connects has to authenticate, and is refused."""


RULES: Final[tuple[type[Rule], ...]] = (
    Cut,
    Delay,
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
    Silence,
    SlowAccept,
    Storm,
)
