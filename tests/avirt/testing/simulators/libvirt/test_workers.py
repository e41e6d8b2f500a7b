"""Twenty workers for all, five more for what is urgent."""

from __future__ import annotations

from collections.abc import Callable

from avirt.testing.simulators.libvirt.workers import Workers


class Calls:
    """Calls that end when told."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.begun: list[str] = []
        self.ends: dict[str, Callable[[], None]] = {}

    def make(self, name: str, *, high: bool = False) -> None:
        def work(end: Callable[[], None]) -> None:
            self.begun.append(name)
            self.ends[name] = end

        self.workers.run(work, high=high)


def test_calls_wait_for_a_worker_in_order() -> None:
    calls = Calls(Workers(most=1, most_high=0))
    for name in "abc":
        calls.make(name)
    assert calls.begun == ["a"]
    assert calls.workers.waiting == 2
    calls.ends["a"]()
    assert calls.begun == ["a", "b"]
    calls.ends["b"]()
    calls.ends["c"]()
    assert (calls.workers.busy, calls.workers.waiting) == (0, 0)


def test_urgent_calls_have_workers_that_others_do_not() -> None:
    calls = Calls(Workers(most=1, most_high=1))
    calls.make("slow")
    calls.make("low")
    calls.make("high", high=True)
    calls.make("high too", high=True)
    assert calls.begun == ["slow", "high"]
    calls.ends["high"]()
    assert calls.begun == ["slow", "high", "high too"]
    calls.ends["slow"]()
    assert calls.begun[-1] == "low"


def test_call_that_ends_at_once_leaves_the_next_one_its_worker() -> None:
    workers = Workers(most=1)
    done: list[int] = []

    def work(end: Callable[[], None]) -> None:
        done.append(workers.busy)
        end()

    for _ in range(3):
        workers.run(work, high=False)
    assert done == [1, 1, 1]


def test_reset_forgets_all() -> None:
    calls = Calls(Workers(most=1))
    calls.make("a")
    calls.make("b")
    calls.workers.reset()
    assert (calls.workers.busy, calls.workers.waiting) == (0, 0)
    calls.ends["a"]()
    assert calls.workers.busy == 0
