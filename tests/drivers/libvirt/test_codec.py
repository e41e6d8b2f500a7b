"""Every layout of the table goes to bytes and back, and each of its limits holds in both directions."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.layouts import LAYOUTS
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc
from avirt.drivers.libvirt.generated.types import (
    CLASSES,
    RemoteDomain,
    RemoteDomainEventCallbackLifecycleMsg,
    RemoteDomainEventLifecycleMsg,
    RemoteDomainGetStateRet,
    RemoteDomainStatsRecord,
    RemoteError,
    RemoteTypedParam,
)
from avirt.drivers.libvirt.procedure import Procedure
from avirt.errors import LocalProtocolError, RemoteProtocolError
from tests.drivers.libvirt import values as v

DOM = RemoteDomain("web1", bytes(range(16)), -1)
CALLS = [row for row in PROCEDURES.values() if not row.is_event]
EVENTS = [row for row in PROCEDURES.values() if row.is_event]
SOAK = settings.get_current_profile_name() == "soak"
packer, unpacker = cache(codec.COMPILER.packer), cache(codec.COMPILER.unpacker)

# Many layouts in one test: a test of its own for each of 740 would spend its time on being set up.
CHUNKS = [list(v.TYPES)[start : start + 20] for start in range(0, len(v.TYPES), 20)]
FEW = settings(max_examples=200 if SOAK else 4)


ROWS = [CALLS[start : start + 20] for start in range(0, len(CALLS), 20)]


def first(group: list[str] | list[Procedure[Any]]) -> str:
    return f"from_{group[0] if isinstance(group[0], str) else group[0].name}"


@pytest.mark.parametrize("names", CHUNKS, ids=first)
@FEW
@given(data=st.data())
def test_layout_random_value_survives_the_round_trip(names: list[str], data: st.DataObject) -> None:
    """Packed it is what an encoder by the letter of the RFC gives; unpacked it is the value again."""
    for name in names:
        value = data.draw(v.values(name))
        payload = packer(name)(*value) if LAYOUTS[name][0] == "union" else packer(name)(value)
        assert payload == v.encode(name, value)
        assert unpacker(name)(payload) == value


@pytest.mark.parametrize("names", CHUNKS, ids=first)
@FEW
@given(data=st.data())
def test_layout_payload_cut_or_prolonged_is_refused(names: list[str], data: st.DataObject) -> None:
    """The payload has to be used up, and to be long enough."""
    for name in names:
        payload = v.encode(name, data.draw(v.values(name)))
        with pytest.raises(RemoteProtocolError, match="4 bytes are left over"):
            unpacker(name)(payload + b"\0\0\0\0")
        for size in {0, len(payload) - 1, len(payload) - 4, data.draw(st.integers(0, len(payload) - 1))}:
            with pytest.raises(RemoteProtocolError):
                unpacker(name)(payload[: max(size, 0)])


@pytest.mark.parametrize("rows", ROWS, ids=first)
@settings(max_examples=200 if SOAK else 2)
@given(data=st.data())
def test_call_arguments_and_answers_go_from_client_to_server_and_back(
    rows: list[Procedure[Any]], data: st.DataObject
) -> None:
    """What the client packs the server unpacks, and the other way round; one-field answers are that field."""
    for row in rows:
        args = tuple(data.draw(v.values(row.args))) if row.args else ()
        payload = codec.pack(row, *args)
        assert codec.unpack_args(row, payload) == args
        assert payload == (v.encode(row.args, args) if row.args else b"")
        answer: Any = data.draw(v.values(row.ret)) if row.ret else None
        if row.ret is not None and len(v.TYPES[row.ret]["struct"]) == 1:
            (answer,) = answer
        assert codec.unpack_reply(row, codec.pack_reply(row, answer)) == answer


@settings(max_examples=200 if SOAK else 2)
@given(data=st.data())
def test_event_messages_go_from_server_to_client(data: st.DataObject) -> None:
    """Every event has a decoder, and its message a class of its own."""
    for row in EVENTS:
        assert row.msg is not None
        message = data.draw(v.values(row.msg))
        assert type(message) is CLASSES[row.msg]
        assert codec.unpack_event(row, codec.pack_event(row, message)) == message


def limits() -> list[tuple[str, str, Any, Any]]:
    """Each limit of the table: struct, field, layout around it, and its count."""
    found: list[tuple[str, str, Any, Any]] = []
    for name, definition in v.TYPES.items():
        for field, layout in definition.get("struct", ()):
            inner = v.follow(layout)
            if isinstance(inner, list) and inner[0] == "optional":
                inner = v.follow(inner[1])
            if isinstance(inner, list) and inner[0] in {"list", "bytes"}:
                found.append((name, field, layout, inner))
    return found


def smallest(layout: Any) -> Any:
    """The smallest value of a layout."""
    layout = v.follow(layout)
    if isinstance(layout, str):
        if layout in v.RANGES or layout in v.TABLE["enums"]:
            return 0
        parts = [part for _, inner in v.places(layout) for part in [1 if inner is None else smallest_or_union(inner)]]
        return CLASSES[layout](*parts) if layout in CLASSES else tuple(parts)
    if layout[0] in {"list", "array"} and v.follow(layout[1]) == "char":
        return bytes(layout[2] if layout[0] == "array" else 0)
    return {"opaque": b"\0" * 16, "bytes": b"", "string": "", "optional": None, "list": ()}[layout[0]]


def smallest_or_union(layout: Any) -> Any:
    return 0 if isinstance(layout, str) and "union" in v.TYPES.get(layout, {}) else smallest(layout)


@pytest.mark.parametrize(
    ("name", "field", "layout", "inner"), limits(), ids=lambda part: part if type(part) is str else ""
)
def test_limit_of_the_table_refuses_one_more_in_both_directions(name: str, field: str, layout: Any, inner: Any) -> None:
    """As many as the table says go through; one more is refused when packed, and by its count when unpacked."""
    kind, limit = inner[0], inner[-1]
    chars = kind == "list" and v.follow(inner[1]) == "char"
    item = None if kind == "bytes" or chars else smallest(inner[1])
    parts = [smallest_or_union(part) for _, part in v.TYPES[name]["struct"]]
    position = [each for each, _ in v.TYPES[name]["struct"]].index(field)
    pack, unpack = packer(name, flat=True), unpacker(name)

    parts[position] = bytes(limit) if item is None else (item,) * limit
    payload = pack(*parts)
    unpack(payload)
    parts[position] = bytes(limit + 1) if item is None else (item,) * (limit + 1)
    with pytest.raises(LocalProtocolError, match=f"{limit + 1} is more than"):
        pack(*parts)

    before = v.encode_parts_until(name, parts, position)
    head = (b"\0\0\0\1" if v.follow(layout)[0] == "optional" else b"") + struct.pack(">I", limit + 1)
    with pytest.raises(RemoteProtocolError, match=f"a length of {limit + 1} exceeds"):
        unpack(before + head)
    with pytest.raises(RemoteProtocolError, match="exceeds"):
        unpack(before + head[:-4] + b"\xff\xff\xff\xff")


def test_list_count_beyond_the_payload_is_refused_before_anything_is_made() -> None:
    """A legal count of domains with nothing behind it."""
    with pytest.raises(RemoteProtocolError, match="ends too early"):
        codec.unpack_reply(Proc.CONNECT_LIST_ALL_DOMAINS, struct.pack(">I", 16384) + bytes(64))


def test_string_longer_than_the_limit_is_refused_in_both_directions() -> None:
    """4194304 bytes, counted in UTF-8."""
    codec.pack(Proc.DOMAIN_LOOKUP_BY_NAME, "é" * 2097152)
    with pytest.raises(LocalProtocolError, match="4194306 is more than"):
        codec.pack(Proc.DOMAIN_LOOKUP_BY_NAME, "é" * 2097153)
    with pytest.raises(RemoteProtocolError, match="a length of 4194305 exceeds"):
        codec.unpack_reply(Proc.CONNECT_GET_HOSTNAME, struct.pack(">I", 4194305) + bytes(4194308))


def test_string_that_is_not_utf8_comes_through_without_loss() -> None:
    """Names can hold anything."""
    raw = b"\xff\xfeabc\xc3"
    name = codec.unpack_reply(Proc.CONNECT_GET_HOSTNAME, struct.pack(">I", 6) + raw + b"\0\0")
    assert codec.pack(Proc.DOMAIN_LOOKUP_BY_NAME, name) == struct.pack(">I", 6) + raw + b"\0\0"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_string_that_c_would_read_otherwise_is_not_sent(name: str) -> None:
    """A NUL would end it, and so could name another domain; a lone surrogate has no bytes."""
    with pytest.raises(LocalProtocolError):
        codec.pack(Proc.DOMAIN_LOOKUP_BY_NAME, name)


def test_optional_flag_other_than_zero_and_one_is_refused() -> None:
    """The payload is not what we think it is."""
    with pytest.raises(RemoteProtocolError):
        codec.COMPILER.unpacker("remote_string")(b"\0\0\0\2\0\0\0\0")


def test_typed_parameter_of_unknown_type_is_refused_in_both_directions() -> None:
    """libvirt-wire.md §1: any other tag is a protocol error."""
    pack, unpack = codec.COMPILER.packer("remote_typed_param"), codec.COMPILER.unpacker("remote_typed_param")
    with pytest.raises(LocalProtocolError, match="no such kind: 8"):
        pack(RemoteTypedParam("x", 8, 1))
    with pytest.raises(RemoteProtocolError, match="unknown kind 8"):
        unpack(v.encode("remote_nonnull_string", "x") + struct.pack(">ii", 8, 1))


def test_typed_parameter_boolean_is_a_bool() -> None:
    """Sent as an int; any number but zero is true."""
    unpack = codec.COMPILER.unpacker("remote_typed_param")
    assert unpack(v.encode("remote_nonnull_string", "x") + struct.pack(">ii", 6, 7)) == RemoteTypedParam("x", 6, True)


def test_typed_values_are_a_mapping_in_order() -> None:
    """By name."""
    record = RemoteDomainStatsRecord(
        DOM, (RemoteTypedParam("state.state", 1, 5), RemoteTypedParam("balloon.current", 4, 2**40))
    )
    payload = codec.pack_reply(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (record,))
    (again,) = codec.unpack_reply(Proc.CONNECT_GET_ALL_DOMAIN_STATS, payload)
    assert list(codec.typed_values(again.params).items()) == [("state.state", 5), ("balloon.current", 2**40)]


def test_char_arrays_take_four_bytes_a_character_and_are_sign_extended() -> None:
    """A node's model: 32 characters are 128 bytes (libvirt-wire.md §1); byte 0xe9 is -23."""
    model = b"x\xe9".ljust(32, b"\0")
    payload = codec.COMPILER.packer("remote_node_get_info_ret", flat=True)(model, *[0] * 7)
    assert len(payload) == 128 + 8 + 6 * 4
    assert payload[:8] == b"\0\0\0x\xff\xff\xff\xe9"
    assert codec.unpack_reply(Proc.NODE_GET_INFO, payload).model == model
    unsigned = payload[:4] + b"\0\0\0\xe9" + payload[8:]
    assert codec.unpack_reply(Proc.NODE_GET_INFO, unsigned).model == model


def test_short_kinds_are_cut_to_their_size_as_c_does() -> None:
    """unsigned char and unsigned short take four bytes."""
    payload = struct.pack(">IQQIQ", 0xFFFFFF05, 1, 2, 0xFFFF0003, 4)
    info = codec.unpack_reply(Proc.DOMAIN_GET_INFO, payload)
    assert (info.state, info.nr_virt_cpu) == (5, 3)


@pytest.mark.parametrize(
    "args",
    [
        (DOM,),
        (DOM, 0, 0),
        (DOM, -1),
        (DOM, 2**32),
        (DOM, "0"),
        (DOM, None),
        (None, 0),
        (RemoteDomain("x", b"short", 1), 0),
        (RemoteDomain("x", "0123456789abcdef", 1), 0),  # type: ignore[arg-type]
        (RemoteDomain(b"x", bytes(16), 1), 0),  # type: ignore[arg-type]
        (RemoteDomain("x", bytes(16), 1.5), 0),  # type: ignore[arg-type]
    ],
)
def test_pack_arguments_that_do_not_fit_are_a_local_error(args: tuple[object, ...]) -> None:
    """Too few, too many, out of range, of the wrong type: nothing is sent."""
    with pytest.raises(LocalProtocolError):
        codec.pack(Proc.DOMAIN_GET_STATE, *args)


def test_call_without_arguments_or_answer_has_an_empty_payload() -> None:
    """And takes no other."""
    assert codec.pack(Proc.CONNECT_CLOSE) == b""
    assert codec.unpack_args(Proc.CONNECT_CLOSE, b"") == ()
    assert codec.pack_reply(Proc.CONNECT_CLOSE, None) == b""
    codec.unpack_reply(Proc.CONNECT_CLOSE, b"")
    with pytest.raises(LocalProtocolError):
        codec.pack(Proc.CONNECT_CLOSE, 1)
    with pytest.raises(LocalProtocolError, match="answers nothing"):
        codec.pack_reply(Proc.CONNECT_CLOSE, 1)
    with pytest.raises(RemoteProtocolError, match="4 bytes"):
        codec.unpack_args(Proc.CONNECT_CLOSE, bytes(4))
    with pytest.raises(RemoteProtocolError, match="4 bytes"):
        codec.unpack_reply(Proc.CONNECT_CLOSE, bytes(4))


def test_call_is_no_event() -> None:
    """A call's number in an event is the peer's error; packing one is ours."""
    with pytest.raises(RemoteProtocolError, match="is a call"):
        codec.Codec(codec.COMPILER).unpack_event(Proc.DOMAIN_SUSPEND, b"")
    with pytest.raises(LocalProtocolError, match="is a call"):
        codec.Codec(codec.COMPILER).pack_event(Proc.DOMAIN_SUSPEND, None)


def test_state_of_a_domain_has_the_bytes_the_protocol_says() -> None:
    """By hand, so that the table and the compiler can't be wrong together."""
    payload = codec.pack(Proc.DOMAIN_GET_STATE, DOM, 0)
    assert payload == b"\0\0\0\4web1" + bytes(range(16)) + b"\xff\xff\xff\xff" + bytes(4)
    assert codec.unpack_reply(Proc.DOMAIN_GET_STATE, b"\0\0\0\5\0\0\0\2") == RemoteDomainGetStateRet(5, 2)


def test_lifecycle_event_has_the_bytes_the_protocol_says() -> None:
    """callbackID, domain, event, detail."""
    message = RemoteDomainEventCallbackLifecycleMsg(7, RemoteDomainEventLifecycleMsg(DOM, 5, 1))
    payload = b"\0\0\0\7\0\0\0\4web1" + bytes(range(16)) + b"\xff\xff\xff\xff\0\0\0\5\0\0\0\1"
    assert codec.pack_event(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, message) == payload
    assert codec.unpack_event(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, payload) == message


def test_error_goes_both_ways() -> None:
    """remote_error."""
    error = RemoteError(42, 10, "Domain not found", 2, DOM, "%s", None, None, -1, -1, None)
    assert codec.unpack_error(codec.pack_error(error)) == error
