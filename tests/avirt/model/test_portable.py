"""Values of the model as JSON and back: the same values, and nothing else from whatever is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.model import native_event
from avirt.model.change import Added, Change, HostConnected, HostLost, Origin, SplitBrain, StateChanged
from avirt.model.document import Json
from avirt.model.observation import (
    Accepted,
    Cause,
    Gone,
    Item,
    LinkUp,
    ListingSlice,
    NativeEvent,
    Observation,
    Scope,
    Seen,
    Signal,
)
from avirt.model.portable import Portable
from avirt.model.record import DomainRecord, HostFacts, Key, key_of
from avirt.model.state import DomainState, NormalState, PausedReason, RunningReason, ShutoffReason, Transition

KEY = key_of("12345678-1234-1234-1234-123456789abc")
FACTS = HostFacts(uuid=UUID(int=7), hostname="h", product="QEMU", driver="libvirt", version=(7, 2, 0))
RECORD = DomainRecord(
    host="h",
    key=KEY,
    name="web1\udcff",
    state=DomainState.PAUSED,
    reason=PausedReason(99),
    transition=Transition.SAVING,
    native={"state": 3, "word": "p"},
    marker="boot",
    persistent=False,
    since=5,
)
OBSERVATION = Observation(
    key=KEY,
    name="web1",
    status=NormalState(DomainState.RUNNING, RunningReason.BOOTED),
    native={"state": 1},
    marker=7,
    signal=Signal.STARTED,
    cause=Cause("lifecycle", "Started", "Booted"),
    origin=Origin.EVENT,
)
ITEMS: list[Item] = [
    Seen(OBSERVATION),
    Gone(KEY, 5),
    ListingSlice(Scope.ALL, 3, (OBSERVATION,), Origin.LIST, True, frozenset({KEY})),
    NativeEvent(native_event.Tunable(host="", key=KEY, params={"a": 1, "b": "x", "c": 1.5, "d": True})),
    Accepted(KEY, Transition.STARTING, 7.5),
    LinkUp(FACTS),
]
CHANGES: list[Change] = [
    Added(host="h", key=KEY, name="web1", after=RECORD, revision=1, seq=3),
    StateChanged(host="h", key=KEY, before=RECORD, after=RECORD),
    HostConnected(host="h", facts=FACTS),
    HostLost(host="h", why="gone", refused=True, observed_at=1.25),
    SplitBrain(host="h", key=KEY, hosts=("a", "b")),
    native_event.Graphics(
        host="h",
        key=KEY,
        phase="connect",
        local=native_event.GraphicsAddress("ipv4", "a", "1"),
        remote=native_event.GraphicsAddress("ipv4", "b", "2"),
        auth_scheme="vnc",
        subject=(("x509dname", "me"),),
    ),
]
OF_ITEMS: Portable[Item] = Portable(Item)
OF_CHANGES: Portable[Change] = Portable(Change)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_item_comes_back_as_it_was(item: Item) -> None:
    """Through JSON text, by the union that it belongs to."""
    assert OF_ITEMS.load(json.loads(json.dumps(OF_ITEMS.dump(item)))) == item


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.kind)
def test_change_comes_back_as_it_was(change: Change) -> None:
    """Subclasses belong to their base; unknown numbers are kept, of the right enumeration."""
    again = OF_CHANGES.load(json.loads(json.dumps(OF_CHANGES.dump(change))))
    assert again == change
    if isinstance(again, StateChanged) and again.after is not None:
        assert isinstance(again.after.reason, PausedReason)


def test_every_kind_of_change_is_known() -> None:
    """None can be concluded that could not be written."""

    def kinds(kind: type[Change]) -> set[type[Change]]:
        return {kind}.union(*(kinds(each) for each in kind.__subclasses__()))

    assert len(kinds(Change)) > 40
    for kind in kinds(Change):
        with pytest.raises(ValueError, match=rf"{kind.__name__} without host"):
            OF_CHANGES.load({"is": kind.__name__})


def test_document_is_small_and_readable() -> None:
    """Defaults are left out, keys are uuids, bytes base64."""

    class Holder(msgspec.Struct, frozen=True):
        key: Key
        data: bytes = b""
        more: Sequence[int] = ()
        table: Mapping[str, int] = msgspec.field(default_factory=dict)

    of_holder: Portable[Holder] = Portable(Holder)
    assert of_holder.dump(Holder(KEY)) == {"is": "Holder", "key": "12345678-1234-1234-1234-123456789abc"}
    full = Holder(KEY, b"\0\xff", (1, 2), {"a": 1})
    assert of_holder.dump(full) == {
        "is": "Holder",
        "key": "12345678-1234-1234-1234-123456789abc",
        "data": "AP8=",
        "more": [1, 2],
        "table": {"a": 1},
    }
    assert of_holder.load(of_holder.dump(full)) == full


def test_type_without_a_form_is_refused_at_once() -> None:
    """Not when a value of it comes."""
    with pytest.raises(TypeError):
        Portable[object](Scope | int)


GOOD: dict[str, Json] = cast("dict[str, Json]", OF_ITEMS.dump(Seen(OBSERVATION)))
INNER: dict[str, Json] = cast("dict[str, Json]", GOOD["observation"])


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (None, "is no dict"),
        ([], "is no dict"),
        ({}, "unknown here"),
        ({"is": "DomainRecord"}, "unknown here"),
        ({"is": ["Seen"]}, "unknown here"),
        ({"is": "Seen"}, "without observation"),
        ({"is": "Seen", "observation": INNER | {"key": "nothing"}}, "Seen.observation: Observation.key"),
        ({"is": "Seen", "observation": INNER | {"name": 5}}, "5 is no str"),
        ({"is": "Seen", "observation": INNER | {"active": 1}}, "1 is no bool"),
        ({"is": "Seen", "observation": INNER | {"asked": True}}, "True is no int"),
        ({"is": "Seen", "observation": INNER | {"marker": 1.5}}, "is no int or str"),
        ({"is": "Seen", "observation": INNER | {"signal": "none"}}, "not a valid Signal"),
        ({"is": "Seen", "observation": INNER | {"signal": {}}}, "is no int or str"),
        ({"is": "Seen", "observation": INNER | {"native": []}}, "is no dict"),
        ({"is": "Seen", "observation": INNER | {"status": {"is": "NormalState", "state": 1, "reason": "x"}}}, "no int"),
        ({"is": "LinkUp", "facts": {"is": "HostFacts", "uuid": "?"}}, "LinkUp.facts: HostFacts.uuid"),
        (
            {
                "is": "LinkUp",
                "facts": cast("dict[str, Json]", OF_CHANGES.dump(CHANGES[2]))["facts"]
                and {
                    "is": "HostFacts",
                    "uuid": str(UUID(int=7)),
                    "hostname": "",
                    "product": "",
                    "driver": "",
                    "version": [1, 2],
                },
            },
            "2 items instead of 3",
        ),
    ],
)
def test_document_of_something_else_is_refused_with_the_reason(document: Json, why: str) -> None:
    """Where, and what is wrong there."""
    with pytest.raises(ValueError, match=why):
        OF_ITEMS.load(document)


def test_bytes_that_are_no_base64_are_refused() -> None:
    """Not read as something shorter."""

    class Data(msgspec.Struct, frozen=True):
        data: bytes

    with pytest.raises(ValueError, match=r"Data\.data"):
        Portable[Data](Data).load({"is": "Data", "data": "A?"})


def test_fields_nobody_knows_are_passed_over() -> None:
    """A later version may say more."""
    assert OF_ITEMS.load(GOOD | {"more": 1}) == Seen(OBSERVATION)


def test_integer_is_taken_for_a_float_and_stays_one() -> None:
    """JSON does not tell them apart."""
    lost = OF_CHANGES.load({"is": "HostLost", "host": "h", "observed_at": 5})
    assert isinstance(lost.observed_at, float)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["is", "observation", "key", "facts", "items", "x"]), inner, max_size=4)
    ),
    max_leaves=9,
)


@given(
    JSON
    | st.builds(
        lambda extra: GOOD | {"observation": INNER | extra},
        st.dictionaries(st.sampled_from([*INNER, "status", "name"]), JSON, max_size=3),
    )
)
def test_load_of_anything_gives_an_item_or_a_value_error(document: Json) -> None:
    """Nothing else leaves it."""
    try:
        item = OF_ITEMS.load(document)
    except ValueError:
        return
    assert OF_ITEMS.load(OF_ITEMS.dump(item)) == item


def test_shutoff_reason_of_a_record() -> None:
    """The reason's class follows from the state beside it."""
    record = msgspec.structs.replace(RECORD, state=DomainState.SHUTOFF, reason=ShutoffReason.SAVED)
    of_records: Portable[DomainRecord] = Portable(DomainRecord)
    assert of_records.load(of_records.dump(record)).reason is ShutoffReason.SAVED
