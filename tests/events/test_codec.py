"""The codec: every kind of change comes back as it was, and nothing else comes back at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from avirt.events.codec import KINDS, pack, pack_facts, pack_record, unpack, unpack_facts, unpack_record
from avirt.model.change import Change, StateChanged
from avirt.model.native_event import JobCompleted
from avirt.model.record import NO_NATIVE, DomainRecord, HostFacts, Key

from .changes import FACTS, changes, records
from .world import FACTS as PLAIN_FACTS
from .world import key, running


def concrete(kind: type[Change]) -> Iterator[type[Change]]:
    """The kinds that have no kinds below them."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from concrete(each)


def test_codec_knows_every_kind_there_is() -> None:
    ours = {kind for kind in concrete(Change) if kind.__module__.startswith("avirt.")}
    assert set(KINDS) == ours


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25)
def test_codec_gives_back_every_kind(kind: type[Change], data: st.DataObject) -> None:
    change = data.draw(changes(kind))
    assert unpack(pack(change)) == change


@given(records())
def test_codec_gives_back_a_record(record: DomainRecord) -> None:
    assert unpack_record(pack_record(record), record.host, record.key) == record


@given(FACTS)
def test_codec_gives_back_facts(facts: HostFacts) -> None:
    assert unpack_facts(pack_facts(facts)) == facts


@given(st.binary(max_size=64))
def test_codec_refuses_nonsense(data: bytes) -> None:
    for read in (unpack, unpack_facts, lambda raw: unpack_record(raw, "h", Key(bytes(16)))):
        with suppress(ValueError):
            read(data)


@given(changes(), st.data())
def test_codec_refuses_what_was_cut_off(change: Change, data: st.DataObject) -> None:
    packed = pack(change)
    with pytest.raises(ValueError, match="not a change"):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_codec_refuses_a_kind_of_the_future() -> None:
    packed = pack(StateChanged(host="h", key=key(1), after=running()))
    with pytest.raises(ValueError, match="not a change"):
        unpack(packed.replace(b"state_changed", b"stage_changed"))


def test_codec_takes_any_mapping_and_any_number() -> None:
    change = JobCompleted(host="h", key=key(1), params=MappingProxyType({"time": 2**80}))
    assert unpack(pack(change)) == change


def test_codec_refuses_to_write_what_has_no_form() -> None:
    with pytest.raises(TypeError, match="no form for object"):
        pack(JobCompleted(host="h", key=key(1), params={"x": object()}))  # type: ignore[dict-item]


def test_codec_shares_the_empty_native() -> None:
    record = unpack_record(pack_record(running()), "h", key(1))
    assert record.native is NO_NATIVE


def test_codec_spends_little_on_a_change() -> None:
    """What retention says a change takes."""
    before = running()
    change = StateChanged(host="h0", key=key(1), name=before.name, before=before, after=replace(before, active=False))
    assert len(pack(change)) < 200
    assert len(pack_facts(PLAIN_FACTS)) < 200
