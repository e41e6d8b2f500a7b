"""The bulk decoders: the same answer by template, by field and in slices; only the documented error leaves them."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt.bulk import DomainListReader, StateEntry, StatesReader, StatsReader, lifecycle_event
from avirt.errors import RemoteProtocolError

U32 = struct.Struct(">I").pack
I32 = struct.Struct(">i").pack
UUID = bytes(range(16))


def string(value: bytes) -> bytes:
    return U32(len(value)) + value + bytes(-len(value) % 4)


def domain(name: bytes, id: int = -1, uuid: bytes = UUID) -> bytes:
    return string(name) + uuid + I32(id)


def param(field: bytes, type: int, value: bytes) -> bytes:
    return string(field) + I32(type) + value


def states(name: bytes, state: int, reason: int, id: int = -1) -> bytes:
    params = param(b"state.state", 1, I32(state)) + param(b"state.reason", 1, I32(reason))
    return domain(name, id) + U32(2) + params


def reply(*records: bytes) -> bytes:
    return U32(len(records)) + b"".join(records)


def listing(*domains: bytes) -> bytes:
    return reply(*domains) + U32(len(domains))


@pytest.mark.parametrize("name", [b"", b"a", b"web1", b"x" * 128, b"y" * 129, b"z" * 5000, "é".encode()])
def test_names_of_every_length_are_read(name: bytes) -> None:
    """By template up to 128 bytes, by field above."""
    reader = DomainListReader(listing(domain(name, 7), domain(b"next", -1)))
    assert reader.read() == [(name.decode(), UUID, 7), ("next", UUID, -1)]
    stats = StatesReader(reply(states(name, 1, 5, 7), states(b"next", 5, 0)))
    assert stats.read() == [(name.decode(), UUID, 7, 1, 5), ("next", UUID, -1, 5, 0)]


def test_invalid_utf8_in_a_name_is_kept() -> None:
    """Names hold anything: the bytes survive a round trip."""
    ((name, _, _),) = DomainListReader(listing(domain(b"a\xff"))).read()
    assert name.encode("utf-8", "surrogateescape") == b"a\xff"


def test_reading_in_slices_gives_the_same_as_whole() -> None:
    """And says how many are left."""
    payload = reply(*(states(b"d%d" % n, 1, n, n) for n in range(10)))
    whole = StatesReader(memoryview(payload)).read()
    reader = StatesReader(payload)
    assert (reader.count, reader.left) == (10, 10)
    parts: list[StateEntry] = []
    while reader.left:
        parts += reader.read(3)
    assert parts == whole
    assert reader.read() == []
    domains = DomainListReader(listing(domain(b"a", 1), domain(b"b", 2)))
    assert domains.read(1) == [("a", UUID, 1)]
    assert domains.read(1) == [("b", UUID, 2)]


def test_empty_lists_are_read() -> None:
    """No domains at all."""
    assert DomainListReader(listing()).read() == []
    assert StatesReader(reply()).read() == []


def test_records_that_do_not_fit_the_template_are_read_by_field() -> None:
    """Other order, other groups among them, one value missing, none at all."""
    swapped = param(b"state.reason", 1, I32(2)) + param(b"state.state", 1, I32(3))
    more = (
        param(b"cpu.time", 4, bytes(8))
        + param(b"name", 7, string(b"x"))
        + param(b"on", 6, I32(1))
        + param(b"state.state", 1, I32(-1))
    )
    payload = reply(
        domain(b"a", 1) + U32(2) + swapped,
        domain(b"b", 2) + U32(4) + more,
        domain(b"c", 3) + U32(0),
        states(b"d", 5, 0),
    )
    assert StatesReader(payload).read() == [
        ("a", UUID, 1, 3, 2),
        ("b", UUID, 2, -1, None),
        ("c", UUID, 3, None, None),
        ("d", UUID, -1, 5, 0),
    ]


def test_a_last_record_shorter_than_the_template_is_read_by_field() -> None:
    """The template may not look beyond the end."""
    payload = reply(domain(b"a", 1) + U32(1) + param(b"state.state", 1, I32(1)))
    assert StatesReader(payload).read() == [("a", UUID, 1, 1, None)]


def test_statistics_of_every_type_are_read_in_slices() -> None:
    """Values by name, in the server's order; strings that are not UTF-8 are kept."""
    params = [
        param(b"i", 1, I32(-1)),
        param(b"u", 2, U32(0xFFFFFFFF)),
        param(b"l", 3, struct.pack(">q", -5)),
        param(b"ul", 4, struct.pack(">Q", 2**64 - 1)),
        param(b"d", 5, struct.pack(">d", 0.5)),
        param(b"b", 6, I32(1)),
        param(b"s", 7, string(b"x\xff")),
    ]
    reader = StatsReader(reply(domain(b"a", 1) + U32(7) + b"".join(params), domain(b"b", 2) + U32(0)))
    ((name, key, id, values),) = reader.read(1)
    assert (name, key, id) == ("a", UUID, 1)
    expected = {"i": -1, "u": 0xFFFFFFFF, "l": -5, "ul": 2**64 - 1, "d": 0.5, "b": True, "s": "x\udcff"}
    assert dict(values) == expected
    assert list(values) == list(expected)
    assert values["b"] is True
    assert reader.read(5) == [("b", UUID, 2, {})]


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0"])
def test_bytes_after_the_end_are_refused(extra: bytes) -> None:
    """The payload has to be used up."""
    with pytest.raises(RemoteProtocolError, match="does not end"):
        DomainListReader(listing(domain(b"a")) + extra).read()
    with pytest.raises(RemoteProtocolError, match="do not end"):
        StatesReader(reply(states(b"a", 1, 1)) + extra).read()
    with pytest.raises(RemoteProtocolError, match="do not end"):
        StatsReader(reply(states(b"a", 1, 1)) + extra).read(9)


@pytest.mark.parametrize(
    ("reader", "payload"),
    [
        (DomainListReader, listing(domain(b"abc", 1), domain(b"y" * 200, 2))),
        (StatesReader, reply(states(b"abc", 1, 1), domain(b"b") + U32(0))),
    ],
)
def test_every_cut_is_refused(reader: type[DomainListReader | StatesReader], payload: bytes) -> None:
    """Cut anywhere: the documented error, never another one, never a wrong answer."""
    for cut in range(len(payload)):
        with pytest.raises(RemoteProtocolError):
            reader(payload[:cut]).read()


def test_hostile_counts_and_lengths_are_refused() -> None:
    """Before memory is taken."""
    with pytest.raises(RemoteProtocolError, match="allows 16384"):
        DomainListReader(U32(16385))
    with pytest.raises(RemoteProtocolError, match="allows 4194304"):
        DomainListReader(U32(1) + U32(0xFFFFFFFF) + bytes(64)).read()
    with pytest.raises(RemoteProtocolError, match="allows 4194304"):
        StatesReader(U32(1) + U32(4194305) + bytes(64)).read()
    with pytest.raises(RemoteProtocolError, match="midst"):
        StatesReader(U32(1) + domain(b"a") + U32(0xFFFFFFFF)).read()
    with pytest.raises(RemoteProtocolError, match="unknown type 9"):
        StatesReader(reply(domain(b"a") + U32(1) + param(b"x", 9, b""))).read()


@given(st.binary(max_size=200), st.integers(0, 3))
def test_only_documented_errors_leave_the_readers(tail: bytes, count: int) -> None:
    """Fuzz, with a sane count in front so that it gets somewhere."""
    for payload in (tail, U32(count) + tail, U32(1) + domain(b"a") + U32(count) + tail):
        for reader in (DomainListReader, StatesReader):
            with suppress(RemoteProtocolError):
                reader(payload).read()
        with suppress(RemoteProtocolError):
            StatsReader(payload).read(9)


@pytest.mark.parametrize("name", [b"", b"web1", b"abc", b"x" * 128])
def test_a_lifecycle_event_is_read_by_template(name: bytes) -> None:
    """Callback id, domain, event, detail."""
    assert lifecycle_event(I32(3) + domain(name, 7) + I32(2) + I32(0)) == (3, name.decode(), UUID, 7, 2, 0)


def test_a_lifecycle_event_that_fits_no_template_is_left_to_the_codec() -> None:
    """Long names, every cut, a tail."""
    payload = I32(3) + domain(b"web1", 7) + I32(2) + I32(0)
    for cut in range(len(payload)):
        assert lifecycle_event(payload[:cut]) is None
    assert lifecycle_event(payload + bytes(4)) is None
    assert lifecycle_event(I32(3) + domain(b"x" * 129, 7) + I32(2) + I32(0)) is None
