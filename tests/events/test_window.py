"""Window: the ring of the last changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.errors import InvalidArgument
from avirt.events.window import Window
from avirt.model.change import Change, HostResynced


def change(number: int) -> Change:
    return HostResynced(host="h", seq=number)


def test_window_empty_has_nothing() -> None:
    window = Window(3)
    assert (len(window), window.head, window.oldest) == (0, 0, 1)
    assert window.slice(1, 10) == []
    with pytest.raises(IndexError):
        window[1]


@pytest.mark.parametrize("capacity", [0, -1])
def test_window_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(InvalidArgument):
        Window(capacity)


def test_window_full_gives_back_the_one_that_leaves() -> None:
    window = Window(2)
    pruned = [window.append(change(number)) for number in (1, 2, 3, 4)]
    assert [item and item.seq for item in pruned] == [None, None, 1, 2]
    assert (window.oldest, window.head, len(window)) == (3, 4, 2)


def test_window_slice_before_the_oldest_is_an_error() -> None:
    window = Window(2)
    for number in (1, 2, 3):
        window.append(change(number))
    with pytest.raises(IndexError):
        window.slice(1, 1)


@given(
    capacity=st.integers(1, 9),
    count=st.integers(0, 40),
    first=st.integers(0, 45),
    length=st.integers(-1, 12),
)
def test_window_shows_the_last_changes_by_number(capacity: int, count: int, first: int, length: int) -> None:
    window = Window(capacity)
    for number in range(1, count + 1):
        window.append(change(number))
    kept = list(range(max(1, count - capacity + 1), count + 1))
    assert len(window) == len(kept)
    assert window.head == count
    assert window.oldest == (kept[0] if kept else count + 1)
    for number in range(count + 3):
        if number in kept:
            assert window[number].seq == number
        else:
            with pytest.raises(IndexError):
                window[number]
    if first >= window.oldest:
        assert [item.seq for item in window.slice(first, length)] == [
            number for number in kept if first <= number < first + length
        ]


@given(capacity=st.integers(1, 9), head=st.integers(0, 10**6), count=st.integers(0, 30))
def test_window_that_begins_at_another_number_is_the_same_window(capacity: int, head: int, count: int) -> None:
    window, other = Window(capacity, head=head), Window(capacity)
    assert (window.head, window.oldest, len(window)) == (head, head + 1, 0)
    for number in range(1, count + 1):
        gone = window.append(change(number))
        assert gone == other.append(change(number))
    assert (window.head - head, window.oldest - head) == (other.head, other.oldest)
    assert window.slice(window.oldest, 100) == other.slice(other.oldest, 100)
    assert window.slice(window.head + 1, 100) == []
    for number in range(other.oldest, other.head + 1):
        assert window[head + number] == other[number]
