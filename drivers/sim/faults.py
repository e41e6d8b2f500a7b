"""What goes wrong in a simulated world, as data that sessions consult.

A fault is switched on by a method and stays until `heal`, or is counted down. Nothing here waits or raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from avirt.model.command import Verb
from avirt.model.record import Key

if TYPE_CHECKING:
    from avirt.drivers.sim.world import World

__all__ = ["Faults"]


class Faults:
    """The faults of one world.

    Attributes:
        delay: seconds added to every answer.
        delays: seconds added to the answers about one domain.
        refused: why no connection comes about, or "".
        refuse_credentials: every credential is wrong.
        hidden: a listing leaves this many domains out, and says that it is not complete.
        stale_ids: reads of inactive domains print their last id, as xend does.
        unsupported: verbs this hypervisor does not know.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.delay = 0.0
        self.delays: dict[Key, float] = {}
        self.refused = ""
        self.refuse_credentials = False
        self.hidden = 0
        self.stale_ids = False
        self.unsupported: set[Verb] = set()
        self._silent = False
        self._hung: set[Key] = set()
        self._failing: dict[Key, int] = {}
        self._failing_lists = 0
        self._losing = 0

    # ------------------------------------------------------------ the link

    def cut(self, why: str = "the link was cut") -> None:
        """Every session is lost now."""
        for link in self._world.links:
            self._world.detach(link)
            link.cut(why)

    def refuse(self, why: str = "connection refused") -> None:
        """No new connection until `heal`."""
        self.refused = why

    def silence(self) -> None:
        """The peer goes quiet without closing: it neither answers nor tells, until its sessions notice."""
        self._silent = True
        self._world.after(self._world.times.liveness, self._notice_silence)

    @contextmanager
    def restart(self) -> Iterator[World]:
        """Cut every link; what is done in here nobody sees happen."""
        self.cut("the hypervisor's daemon was restarted")
        with self._world.muted() as world:
            yield world

    def replace_host(self, uuid: UUID | None = None, *, name: str | None = None) -> None:
        """Another, empty host answers from now on."""
        with self.restart() as world:
            world.clear()
            world.uuid = uuid or UUID(int=world.rng.getrandbits(128), version=4)
            world.name = name or world.name

    # ------------------------------------------------------------ events and reads

    def lose_events(self, count: int = 1) -> None:
        """The next events are never told."""
        self._losing += count

    def overrun(self) -> None:
        """Sessions learn that events may have been lost."""
        for link in self._world.links:
            link.overrun()

    def hang(self, which: str | UUID) -> None:
        """No read or verb of this domain is answered, until `heal`."""
        self._hung.add(self._world.domain(which).key)

    def fail_reads(self, which: str | UUID, times: int = 1) -> None:
        """The next reads of this domain fail."""
        self._failing[self._world.domain(which).key] = times

    def fail_lists(self, times: int = 1) -> None:
        """The next listings fail."""
        self._failing_lists = times

    def slow(self, which: str | UUID, seconds: float) -> None:
        """Answers about this domain take this much longer."""
        self.delays[self._world.domain(which).key] = seconds

    def heal(self) -> None:
        """All is well again."""
        self.delay = 0.0
        self.refused = ""
        self.refuse_credentials = False
        self.hidden = 0
        self.stale_ids = False
        self._silent = False
        self._failing_lists = 0
        self._losing = 0
        self.unsupported.clear()
        self.delays.clear()
        self._hung.clear()
        self._failing.clear()
        for link in self._world.links:
            link.wake()

    # ------------------------------------------------------------ for sessions

    def is_mute(self, key: Key | None = None) -> bool:
        """Whether nothing is answered: at all, or about this domain."""
        return self._silent or key in self._hung

    def loses_event(self) -> bool:
        """Whether this event is lost."""
        if self._silent:
            return True
        self._losing, lost = max(0, self._losing - 1), self._losing > 0
        return lost

    def fails_read(self, key: Key) -> bool:
        """Whether this read fails."""
        left = self._failing.get(key, 0)
        self._failing[key] = max(0, left - 1)
        return left > 0

    def fails_list(self) -> bool:
        """Whether this listing fails."""
        self._failing_lists, fails = max(0, self._failing_lists - 1), self._failing_lists > 0
        return fails

    def delay_of(self, key: Key | None) -> float:
        """How much longer this answer takes."""
        return self.delay if key is None else self.delay + self.delays.get(key, 0.0)

    def _notice_silence(self) -> None:
        if self._silent:
            self.cut("nothing was heard for too long")
