"""`avirt event`."""

from __future__ import annotations

import re

import pytest

from avirt.cli.event_text import EVENTS
from tests.avirt.cli.conftest import Run

SIM = ("-c", "sim://quiet")
DEMO = ("-c", "sim://demo?rate=200")


def test_event_lists_the_names(run: Run) -> None:
    assert run("event", "--list").lines == list(EVENTS)
    assert run("event", "--list", "-o", "json").json == list(EVENTS)
    assert run("event", "--list", "-o", "name").lines == list(EVENTS)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_event_ends_with_the_first(run: Run, loop: str) -> None:
    ran = run(*DEMO, "event", backend=loop)
    assert ran.code == 0
    assert re.fullmatch(r"event '[a-z0-9-]+' for domain '[a-z0-9-]+'.*\nevents received: 1\n\n", ran.out, re.DOTALL)


def test_event_with_loop_goes_on_until_the_time_is_up(run: Run) -> None:
    ran = run(*DEMO, "event", "--all", "--loop", "--timeout", "0.5")
    *events, why, count, _ = ran.lines
    assert ran.code == 0
    assert why == "event loop timed out"
    assert count == f"events received: {sum(line.startswith('event ') for line in events)}"
    assert len(events) > 1


def test_event_of_a_type_is_of_that_type(run: Run) -> None:
    ran = run(*DEMO, "event", "--event", "lifecycle", "--loop", "--timeout", "0.5", "-o", "json")
    assert ran.code == 0
    assert {document["event"] for document in ran.objects} == {"lifecycle"}
    head = {"event", "host", "uuid", "name", "observed_at", "type", "detail"}
    assert all(document.keys() == head for document in ran.objects)


def test_event_of_a_domain_is_of_that_domain(run: Run) -> None:
    name = run(*DEMO, "list", "--name").lines[0]
    uuid = run(*DEMO, "domuuid", name).out.strip()
    ran = run(*DEMO, "event", name, "--loop", "--timeout", "1", "-o", "json")
    assert {document["uuid"] for document in ran.objects} <= {uuid}


def test_event_prints_the_time_as_virsh(run: Run) -> None:
    line = run(*DEMO, "event", "--timestamp").lines[0]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: event '", line)


def test_no_event_in_time_ends_with_5(run: Run) -> None:
    ran = run(*SIM, "event", "--timeout", "0.05")
    assert (ran.code, ran.out) == (5, "event loop timed out\nevents received: 0\n\n")
    ran = run(*SIM, "-q", "event", "--timeout", "0.05")
    assert (ran.code, ran.out) == (5, "")


def test_event_takes_one_type_or_all(run: Run) -> None:
    assert run(*SIM, "event", "--event", "reboot", "--all").code == 2
    assert run(*SIM, "event", "--event", "party").code == 2


def test_event_of_several_hosts_names_the_host(run: Run) -> None:
    ran = run("-c", "a=sim://demo?rate=200", "-c", "b=sim://quiet", "event")
    assert ran.code == 0
    assert " for domain 'a/" in ran.out


def test_event_of_a_host_that_is_down_ends_with_4(run: Run) -> None:
    ran = run("-c", "test+unix:///default?socket=/no/such/socket", "event", "--timeout", "5")
    assert (ran.code, ran.out) == (4, "")
