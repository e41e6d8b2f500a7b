"""Changes in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest

from avirt.cli.watch_text import clock, describe, standing, subject
from avirt.model import change as changes
from avirt.model import native_event as native
from avirt.model.record import Certainty, DomainRecord, HostFacts, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason, Transition

KEY = Key(bytes(16))
DOWN = DomainRecord(
    host="h", key=KEY, name="vm", state=DomainState.SHUTOFF, reason=ShutoffReason.DESTROYED, persistent=True
)
UP = msgspec.structs.replace(DOWN, state=DomainState.RUNNING, reason=RunningReason.BOOTED, id=3, active=True)
FACTS = HostFacts(uuid=UUID(int=1), hostname="node1", product="QEMU", version=(7, 2, 0), driver="libvirt")
WHO: Any = {"host": "h", "key": KEY, "name": "vm"}


def altered(record: DomainRecord, **fields: object) -> DomainRecord:
    return msgspec.structs.replace(record, **fields)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (changes.Gap(lost=4, since=1.0, seq=9), "4 changes missed"),
        (changes.Added(**WHO, after=UP), "added: running (booted)"),
        (changes.Added(**WHO), "added"),
        (changes.Removed(**WHO, before=UP), "removed"),
        (changes.StateChanged(**WHO, before=DOWN, after=UP), "shut off (destroyed) -> running (booted)"),
        (changes.StateChanged(**WHO, after=UP, merged=4), "running (booted) [4 changes]"),
        (changes.StateChanged(**WHO), "-"),
        (
            changes.StateChanged(**WHO, before=UP, after=altered(UP, transition=Transition.STOPPING)),
            "running (booted) -> running (booted), stopping",
        ),
        (changes.Rebooted(**WHO, before=UP, after=UP), "rebooted"),
        (changes.Renamed(**WHO, old="a", new="b"), "renamed: a -> b"),
        (
            changes.Updated(**WHO, before=UP, after=altered(UP, persistent=None, reason=RunningReason.MIGRATED, id=4)),
            "updated: id 3 -> 4, reason booted -> migrated, persistent yes -> none",
        ),
        (changes.Updated(**WHO, before=UP, after=altered(UP, revision=9)), "updated"),
        (changes.Updated(**WHO, after=UP), "updated: running (booted)"),
        (changes.Updated(**WHO), "updated"),
        (
            changes.Updated(**WHO, before=UP, after=altered(UP, certainty=Certainty.STALE, stale_why="read failed")),
            "stale (read failed)",
        ),
        (changes.Updated(**WHO, before=altered(UP, certainty=Certainty.STALE), after=UP), "live"),
        (changes.Updated(**WHO, before=UP, after=altered(UP, idle=True)), "updated: idle no -> yes"),
        (changes.Migrated(**WHO, source="a", target="b"), "migrated: a -> b"),
        (changes.SplitBrain(**WHO, hosts=("a", "b")), "runs on several hosts: a, b"),
        (changes.HostConnected(host="h", facts=FACTS), "connected: QEMU 7.2.0 on node1"),
        (
            changes.HostConnected(host="h", facts=msgspec.structs.replace(FACTS, version=None)),
            "connected: QEMU on node1",
        ),
        (changes.HostLost(host="h", why="gone"), "lost: gone"),
        (changes.HostLost(host="h", why="password", refused=True), "refused: password"),
        (changes.HostResynced(host="h", domains=3), "resynced: 3 domains"),
        (changes.HostReplaced(host="h", before=FACTS, after=FACTS), "replaced: now QEMU 7.2.0 on node1"),
        (changes.DuplicateHost(host="h", other="g"), "the same host as g"),
        (changes.JournalLost(host="", why="the disk is full"), "journal lost: the disk is full"),
        (
            changes.JournalLost(host="", why="it is damaged", aside="/j.aside", renewed=True),
            "journal begun anew: it is damaged (moved to /j.aside)",
        ),
        (native.BalloonChange(**WHO, actual_kib=9), "balloon change: actual_kib=9"),
        (native.ControlError(**WHO), "control error"),
        (changes.Removed(**WHO, origin=changes.Origin.RESYNC), "removed [resync]"),
    ],
)
def test_a_change_reads_as_one_line(item: changes.Change | changes.Gap, text: str) -> None:
    assert describe(item) == text


def test_a_record_that_is_not_live_says_so() -> None:
    assert standing(altered(UP, certainty=Certainty.UNKNOWN)) == "running (booted), unknown"


def test_subject_is_the_domain_with_its_host_where_there_are_several() -> None:
    removed = changes.Removed(**WHO)
    assert subject(removed, several=False) == "vm"
    assert subject(removed, several=True) == "h/vm"
    assert subject(changes.Removed(host="h", key=KEY), several=False) == str(UUID(int=0))
    assert subject(changes.HostLost(host="h"), several=False) == "h"
    assert subject(changes.JournalLost(host="", why="w"), several=True) == "-"
    assert subject(changes.Gap(lost=1, since=1.0, seq=2), several=True) == "-"


def test_clock_has_the_date_unless_it_is_today() -> None:
    zone = timezone(timedelta(hours=2))
    noon = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
    assert clock(noon.timestamp(), zone) == "2024-05-01 14:00:00"
    assert clock(noon.timestamp(), zone, today=noon.astimezone(zone)) == "14:00:00"
    assert clock(noon.timestamp(), zone, today=noon + timedelta(days=1)) == "2024-05-01 14:00:00"
    assert clock(None) == "-"
