"""Runs: which numbers were used, and which tokens can be resumed from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.events.runs import Run, Runs


def test_runs_of_a_new_journal_are_at_its_beginning() -> None:
    runs = Runs()
    assert (runs.last, runs.oldest, runs.refusal(0), runs.start(0), runs.count(0, 10)) == (0, 1, "", 0, 0)
    assert [*runs.all] == [Run(0, 0)]


CRASHED = [Run(0, 30), Run(130, 150), Run(150, 160)]


@pytest.mark.parametrize(
    ("seq", "why"),
    [
        (0, "pruned"),
        (9, "pruned"),
        (10, ""),
        (30, ""),
        (31, "ahead"),
        (129, "ahead"),
        (130, ""),
        (150, ""),
        (160, ""),
        (161, "ahead"),
    ],
)
def test_runs_refuse_what_is_removed_and_what_is_on_no_disk(seq: int, why: str) -> None:
    assert Runs(CRASHED, pruned=10).refusal(seq) == why


def test_runs_refuse_what_was_before_the_first_that_is_known() -> None:
    assert Runs([Run(100, 120)], pruned=100).refusal(50) == "pruned"


@pytest.mark.parametrize(("seq", "start"), [(5, 5), (30, 130), (130, 130), (149, 149), (150, 150), (160, 160)])
def test_runs_start_beyond_what_was_never_used(seq: int, start: int) -> None:
    assert Runs(CRASHED).start(seq) == start


@pytest.mark.parametrize(
    ("runs", "oldest", "pruned"),
    [
        ([], None, 0),
        ([Run(0, 0)], None, 0),
        ([Run(0, 30)], 1, 0),
        ([Run(0, 30)], 11, 10),
        ([Run(0, 30)], None, 30),
        ([Run(0, 0), Run(100, 100), Run(200, 220)], 201, 0),
        ([Run(0, 0), Run(100, 100), Run(200, 200)], None, 0),
        ([Run(0, 30), Run(130, 150)], 131, 30),
        ([Run(0, 30), Run(130, 150), Run(250, 250)], None, 150),
        ([Run(0, 30), Run(130, 150)], 141, 140),
    ],
)
def test_runs_know_what_was_removed_by_the_oldest_that_is_kept(
    runs: list[Run], oldest: int | None, pruned: int
) -> None:
    assert Runs.kept_from(runs, oldest).pruned == pruned


def test_runs_without_changes_are_passed_over() -> None:
    runs = Runs([Run(0, 3), Run(10, 10), Run(20, 20)])
    assert runs.start(3) == 20
    assert runs.count(0, 100) == 3


def test_runs_go_on_with_the_last_of_them() -> None:
    runs = Runs(CRASHED)
    runs.last = 200
    assert (runs.refusal(190), runs.start(160), runs.count(150, 200)) == ("", 160, 50)


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=6),
    after=st.integers(0, 70),
    until=st.integers(0, 70),
)
def test_runs_count_what_was_used(steps: list[tuple[int, int]], after: int, until: int) -> None:
    runs: list[Run] = []
    used: set[int] = set()
    head = 0
    for length, hole in steps:
        runs.append(Run(head, head + length))
        used |= set(range(head + 1, head + length + 1))
        head += length + hole
    assert Runs(runs).count(after, until) == len([number for number in used if after < number <= until])
    start = Runs(runs).start(after)
    assert not [number for number in used if after < number <= start]
