"""`avirt watch` and `avirt wait`, in JSON, lines and names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.avirt.cli.conftest import Run, Spawn

SIM = ("-c", "sim://quiet")
DEMO = ("-c", "sim://demo?rate=200")


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_watch_as_json_begins_with_a_snapshot(run: Run, loop: str) -> None:
    ran = run(*SIM, "-o", "json", "watch", "--timeout", "0.5", backend=loop)
    [snapshot] = ran.objects
    assert ran.code == 0
    assert snapshot.keys() == {"kind", "host", "domains", "token"}
    assert (snapshot["kind"], snapshot["host"]) == ("snapshot", "sim://quiet")
    assert [domain["name"] for domain in snapshot["domains"]] == ["vm1", "vm2", "vm3"]


def test_watch_of_a_domain_has_only_that(run: Run) -> None:
    [snapshot] = run(*SIM, "-o", "json", "watch", "vm2", "--timeout", "0.5").objects
    assert [domain["name"] for domain in snapshot["domains"]] == ["vm2"]


def test_watch_as_json_is_a_change_a_line_in_order(spawn: Spawn) -> None:
    process = spawn(*DEMO, "-o", "json", "watch")
    assert process.stdout is not None
    snapshot = json.loads(process.stdout.readline())
    changes = [json.loads(process.stdout.readline()) for _ in range(30)]
    seqs = [change["seq"] for change in changes]
    assert seqs == sorted(set(seqs))
    promised = {"kind", "host", "uuid", "name", "before", "after", "origin", "observed_at", "revision", "seq"}
    assert all(promised <= change.keys() for change in changes)
    assert int(snapshot["token"].split(":")[1]) < seqs[0]
    # each line came through a pipe before the next: nothing waited in a buffer


def test_watch_in_words_has_a_line_a_domain_and_a_line_a_change(spawn: Spawn) -> None:
    process = spawn(*DEMO, "watch")
    assert process.stdout is not None
    assert process.stdout.readline() == "sim://demo?rate=200: 12 domains\n"
    for _ in range(12):
        assert process.stdout.readline().startswith("  ")
    assert process.stdout.readline()[:2] == "20"


def test_watch_settled_tells_all_that_happened_to_a_domain_in_one_line(spawn: Spawn) -> None:
    """The demo is lively: within a second domains change more than once."""
    process = spawn("-c", "sim://demo?rate=40&domains=3", "-o", "json", "watch", "--settle", "0.05")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("merged", 1) > 1:
            break
    assert json.loads(line)["merged"] > 1


def test_watch_settled_for_no_time_is_a_usage_error(run: Run) -> None:
    assert run(*SIM, "watch", "--settle", "0").code == 2


def test_watch_prints_names(spawn: Spawn) -> None:
    process = spawn(*DEMO, "-o", "name", "watch")
    assert process.stdout is not None
    assert " " not in process.stdout.readline().strip()


def test_watch_of_several_hosts_has_a_snapshot_each(run: Run) -> None:
    ran = run("-c", "a=sim://quiet", "-c", "b=sim://quiet", "-o", "json", "watch", "--timeout", "1")
    assert {document["host"] for document in ran.objects if document["kind"] == "snapshot"} == {"a", "b"}


def test_watch_goes_on_without_a_host_that_is_down(run: Run) -> None:
    down = "test+unix:///default?socket=/no/such/socket"
    ran = run("-c", "a=sim://quiet", "-c", f"b={down}", "-o", "json", "watch", "--timeout", "1")
    assert [document["host"] for document in ran.objects] == ["a"]
    assert ran.err.startswith("error: b: ")
    ran = run("-c", f"a={down}", "-c", f"b={down}", "-o", "json", "watch", "--timeout", "3")
    assert (ran.code, ran.out) == (4, "")


def test_watch_of_an_ambiguous_domain_is_refused(run: Run) -> None:
    assert run("-c", "a=sim://quiet", "-c", "b=sim://quiet", "watch", "vm1", "--timeout", "1").code == 2


def test_quiet_watch_prints_changes_only(run: Run) -> None:
    assert run(*SIM, "-q", "watch", "--timeout", "0.5").out == ""


def test_watch_in_words_names_the_host_where_there_are_several(run: Run) -> None:
    ran = run("-c", "a=sim://demo?rate=200", "-c", "b=sim://quiet", "watch", "--timeout", "0.5")
    assert any("  a/" in line for line in ran.lines)


def test_wait_ends_when_the_domain_gets_there(run: Run) -> None:
    """In the demo's life web-1 … reboot, crash and stop; one of them does within moments at this rate."""
    names = run(*DEMO, "list", "--name").lines
    ran = run(*DEMO, "wait", names[0], "shutoff", "--timeout", "20")
    assert ran.code == 0
    assert "is shut off" in ran.out


@pytest.mark.slow
def test_watch_with_a_journal_goes_on_where_it_ended(run: Run, tmp_path: Path) -> None:
    journal = str(tmp_path / "j.db")
    demo = ("-c", "sim://demo?rate=200", "-o", "json", "watch", "--journal", journal, "--timeout")
    first = run(*demo, "0.5", "--durable").objects
    epoch, _, start = first[0]["token"].partition(":")
    last = first[-1]["seq"]
    assert [change["seq"] for change in first[1:]] == [*range(int(start) + 1, last + 1)]
    second = run(*demo, "0.5", "--since", f"{epoch}:{last}").objects
    assert second[0]["seq"] == last + 1
    kinds = [change["kind"] for change in second]
    assert kinds.count("host_lost") == kinds.count("host_connected") == 1
    assert "snapshot" not in kinds


@pytest.mark.slow
def test_watch_of_several_hosts_shares_a_journal(run: Run, tmp_path: Path) -> None:
    journal = str(tmp_path / "j.db")
    hosts = ("-c", "a=sim://quiet", "-c", "b=sim://quiet", "-o", "json", "watch", "--journal", journal)
    [one, other] = run(*hosts, "--timeout", "0.3").objects
    assert one["token"].partition(":")[0] == other["token"].partition(":")[0]


def test_watch_without_the_journal_it_should_keep_says_so_and_goes_on(run: Run, tmp_path: Path) -> None:
    journal = str(tmp_path / "no" / "j.db")
    ran = run(*SIM, "-o", "json", "watch", "--journal", journal, "--timeout", "0.05")
    assert (ran.code, len(ran.objects)) == (0, 1)
    assert ran.err == f"warning: no journal is kept in {journal}: No such file or directory\n"
    ran = run(*SIM, "watch", "--journal", journal, "--durable", "--timeout", "5")
    assert ran.code == 1
    assert "is lost: No such file or directory" in ran.err


@pytest.mark.parametrize("option", [("--since", "e:1"), ("--durable",)])
def test_watch_refuses_what_needs_a_journal(run: Run, option: tuple[str, ...]) -> None:
    ran = run(*SIM, "watch", *option)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: watch: {option[0]} needs --journal FILE")


def test_watch_since_a_place_that_is_gone_says_so(run: Run, tmp_path: Path) -> None:
    ran = run(*SIM, "watch", "--journal", str(tmp_path / "j.db"), "--since", "other:1", "--timeout", "5")
    assert ran.code == 1
    assert "epoch" in ran.err
