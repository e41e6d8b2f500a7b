"""What the live view draws."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from rich.console import Console

from avirt.cli.screen import LOG_LINES, Screen
from avirt.model.record import Certainty, DomainRecord, HostFacts, HostState, HostStatus, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason, Transition

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
FACTS = HostFacts(uuid=UUID(int=1), hostname="n", product="QEMU", version=(7, 2, 0), driver="libvirt")
LIVE = HostStatus(name="h1", state=HostState.LIVE, facts=FACTS)
UP = DomainRecord(
    host="h1",
    key=Key(bytes(16)),
    name="web1",
    state=DomainState.RUNNING,
    reason=RunningReason.BOOTED,
    active=True,
    since=NOW.timestamp() - 30,
)


def many(number: int) -> list[DomainRecord]:
    return [msgspec.structs.replace(UP, key=Key(bytes([index] * 16)), name=f"vm{index:03}") for index in range(number)]


def screen(records: Sequence[DomainRecord] = (UP,), *, several: bool = False, notice: str = "") -> Screen:
    made = Screen(notice=notice, several=several)
    made.now = NOW
    made.hosts = [LIVE]
    made.records = records
    made.counts = {"h1": (len(records), len(records))}
    return made


def drawn(what: Screen, width: int = 80, height: int = 20) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    text = "".join(segment.text for segment in console.render(what))
    lines = text.split("\n")
    assert len(lines) == height, "exactly a screenful"
    assert all(len(line) == width for line in lines)
    return [line.rstrip() for line in lines]


def test_the_host_stands_at_the_top_and_the_domains_below() -> None:
    lines = drawn(screen())
    assert lines[0] == "● h1  live  QEMU 7.2.0  1 domain, 1 active"
    assert lines[1].split() == ["Name", "State", "Reason", "Since", "Certainty"]
    assert lines[2].split() == ["web1", "running", "booted", "11:59:30", "live"]
    assert lines[3].startswith("─ changes ─")
    assert lines[4:] == [""] * 16


def test_what_is_under_way_and_what_is_stale_is_seen() -> None:
    record = msgspec.structs.replace(UP, transition=Transition.STOPPING, certainty=Certainty.STALE, since=None)
    assert drawn(screen([record]))[2].split() == ["web1", "running,", "stopping", "booted", "-", "stale"]


def test_a_change_before_today_has_its_date() -> None:
    record = msgspec.structs.replace(UP, since=NOW.timestamp() - 86400)
    assert "2024-04-30 12:00:00" in drawn(screen([record]))[2]


def test_several_hosts_have_a_column() -> None:
    assert drawn(screen(several=True))[2].split()[:2] == ["h1", "web1"]


def test_the_log_shows_the_newest_that_fit() -> None:
    what = screen()
    for index in range(LOG_LINES + 5):
        what.log.append(("12:00:00", "web1", f"change {index}"))
    lines = drawn(what)
    assert lines[-1] == f"12:00:00  web1: change {LOG_LINES + 4}"
    assert lines[3].startswith("─ changes")
    assert len(what.log) == LOG_LINES


def test_more_domains_than_fit_are_counted_and_leave_room_for_the_log() -> None:
    what = screen(many(100))
    what.log.extend(("12:00:00", "vm001", f"change {index}") for index in range(50))
    lines = drawn(what)
    shown = [line for line in lines if line.startswith("vm")]
    assert shown[0].startswith("vm000")
    assert f"… {100 - len(shown)} more: a larger window, or avirt list --all" in lines
    assert lines[-1] == "12:00:00  vm001: change 49"
    assert sum("change " in line for line in lines) >= 5


def test_active_domains_come_first_where_not_all_fit() -> None:
    down = [
        msgspec.structs.replace(record, active=False, state=DomainState.SHUTOFF, reason=ShutoffReason.DESTROYED)
        for record in many(40)
    ]
    last = msgspec.structs.replace(UP, name="zzz", key=Key(b"z" * 16))
    assert drawn(screen([*down, last]))[2].startswith("zzz")


@pytest.mark.parametrize(("width", "height"), [(20, 1), (20, 2), (20, 3), (20, 5), (40, 10), (200, 60)])
def test_any_size_of_terminal_is_filled_exactly(width: int, height: int) -> None:
    what = screen(many(30), several=True, notice="nothing was found")
    what.unreached.append(("h9", "down"))
    what.log.append(("12:00:00", "x", "y" * 300))
    drawn(what, width, height)


def test_a_host_that_is_lost_says_why_and_when_it_is_tried_again() -> None:
    what = screen()
    what.hosts = [HostStatus(name="h1", state=HostState.LOST, why="gone", next_try=NOW.timestamp() + 5, facts=FACTS)]
    assert drawn(what)[0] == "● h1  lost  QEMU 7.2.0  gone; next try 12:00:05"
    what.hosts = [HostStatus(name="h1", state=HostState.REFUSED, why="password")]
    assert drawn(what)[0] == "● h1  refused  password"
    what.hosts = [HostStatus(name="h1")]
    assert drawn(what)[0] == "● h1  connecting"


def test_a_host_that_was_not_reached_stays_in_sight() -> None:
    what = screen(notice="nothing was found")
    what.unreached.append(("h9", "no socket"))
    lines = drawn(what)
    assert lines[0] == "nothing was found"
    assert lines[2] == "● h9  not reached  no socket"


def test_control_characters_of_a_name_are_escaped() -> None:
    record = msgspec.structs.replace(UP, name="a\x1b[2Jb")
    assert drawn(screen([record]))[2].startswith(r"a\x1b[2Jb")
