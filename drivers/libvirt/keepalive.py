"""Keepalive: its frames, and when a silent peer is given up. No I/O, no clock. Follows reference/libvirt-wire.md §4.

Either end may ping; `protocol.Connection` answers. Both ends do it alike: after `interval` seconds without
any message from the peer a ping is due, after `count` unanswered pings and one interval more the peer is dead, that is
after interval * (count + 1) seconds. Any message is a sign of life, not just a pong.

A server that has as many unanswered calls as it admits reads nothing, pings included (§3). While that is so, silence
means nothing, for as long as such a server bears it itself: it pings, reads no answer, and drops the client after
interval * (count + 1) seconds. One that does neither is pinged from then on, and given up like any other: a dead link
with a full window would never be found.

Signs of life are not timed one by one. The session counts its inbound messages anyway; `check` sees whether the count
moved. So a peer may be found up to one interval later than by an exact clock, and a message costs nothing here.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final

from avirt.drivers.libvirt.protocol import KEEPALIVE_PROGRAM, PING, PONG, Message, MessageType
from avirt.errors import LocalProtocolError

__all__ = ["DEFAULT_COUNT", "DEFAULT_INTERVAL", "PING_MESSAGE", "PONG_MESSAGE", "Keepalive", "Verdict"]

DEFAULT_INTERVAL: Final = 5.0
"""Seconds; keepalive_interval of libvirtd.conf."""
DEFAULT_COUNT: Final = 5
"""keepalive_count of libvirtd.conf."""

PING_MESSAGE: Final = Message(KEEPALIVE_PROGRAM, PING, MessageType.MESSAGE, 0)
PONG_MESSAGE: Final = Message(KEEPALIVE_PROGRAM, PONG, MessageType.MESSAGE, 0)


class Verdict(Enum):
    """What a check finds."""

    ALIVE = "alive"
    """Or not known to be dead: nothing to do until `due`."""
    PING = "ping"
    """Send a ping now."""
    DEAD = "dead"
    """Close the connection."""


class Keepalive:
    """The liveness of one peer.

    Args:
        interval: seconds of silence after which a ping is sent.
        count: how many pings may go unanswered. 0: none is sent, the peer is dead after one interval.

    Attributes:
        due: when to check again, on the clock that `check` is given. Earlier checks do no harm.
    """

    def __init__(self, *, interval: float = DEFAULT_INTERVAL, count: int = DEFAULT_COUNT) -> None:
        if not 0 < interval < inf or count < 0:
            raise LocalProtocolError(f"keepalive can't work with an interval of {interval} s and a count of {count}")
        self.interval = interval
        self.count = count
        self.due = -inf
        self._unanswered = 0
        self._excused = 0
        self._inbound = -1

    def __repr__(self) -> str:
        return f"<Keepalive {self._unanswered} of {self.count} pings unanswered>"

    def check(self, now: float, inbound: int, *, suspended: bool = False) -> Verdict:
        """See whether the peer lives.

        Args:
            now: a clock's reading.
            inbound: how many messages came so far on this connection.
            suspended: the peer may be unable to read our pings for a reason that is known.
        """
        if inbound != self._inbound:
            self._inbound = inbound
            self._unanswered = self._excused = 0
            self.due = now + self.interval
            return Verdict.ALIVE
        if now < self.due:
            return Verdict.ALIVE
        if suspended and self._excused <= self.count:
            self._excused += 1
            self._unanswered = 0
            self.due = now + self.interval
            return Verdict.ALIVE
        if self._unanswered >= self.count:
            self.due = inf
            return Verdict.DEAD
        self._unanswered += 1
        self.due = now + self.interval
        return Verdict.PING
