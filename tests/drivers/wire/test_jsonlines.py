"""Values out of bytes: whole, byte by byte, at random cuts, compact and pretty, hostile; Python's json is the judge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.wire.jsonlines import MAX_FIRST_LINE, JSONLines, JSONValues, ascii_json, decode
from avirt.errors import RemoteProtocolError

ANY = msgspec.json.Decoder(dict[str, object])
TEXT = st.text(
    st.one_of(st.sampled_from('"\\{}[]\n\r\t\x01ä€😀'), st.characters(exclude_categories=["Cs"])), max_size=8
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=5)
STYLES = st.sampled_from([None, 0, 4])


def lines(*, max_message: int = 2**20) -> JSONLines[dict[str, object]]:
    return JSONLines(ANY, max_message=max_message)


def written(value: object, indent: int | None) -> bytes:
    """As QEMU writes it: CRLF behind it, and at every break when it is pretty."""
    return json.dumps(value, indent=indent).replace("\n", "\r\n").encode() + b"\r\n"


def cut(data: st.DataObject, whole: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def each(whole: bytes) -> list[bytes]:
    return [whole[at : at + 1] for at in range(len(whole))]


def feed(stream: JSONLines[dict[str, object]] | JSONValues, pieces: Iterable[bytes]) -> None:
    """Everything, or up to an error."""
    for piece in pieces:
        stream.feed(piece)


# ---------------------------------------------------------------- lines


@given(objects=OBJECTS, styles=st.lists(STYLES, min_size=5, max_size=5), data=st.data())
def test_lines_compact_and_pretty_in_any_pieces_are_the_objects(
    objects: list[dict[str, object]], styles: list[int | None], data: st.DataObject
) -> None:
    """Whole, byte by byte, wherever it is cut; styles may even change in between."""
    whole = b"".join(written(value, indent) for value, indent in zip(objects, styles, strict=False))
    for pieces in ([whole], each(whole), cut(data, whole)):
        stream = lines()
        assert [value for piece in pieces for value in stream.feed(piece)] == objects
        assert stream.feed(b" \r\n") == []
        assert stream.pending == 0


def test_lines_with_a_tail_give_the_object_and_keep_the_tail() -> None:
    stream = lines()
    assert stream.feed(b'{"a": 1}\r\n{"b"') == [{"a": 1}]
    assert stream.pending == 4
    assert stream.feed(b": 2}") == []
    assert stream.feed(b"\n") == [{"b": 2}]
    assert stream.pending == 0


def test_lines_pretty_with_a_tail_give_the_object_and_keep_the_tail() -> None:
    stream = lines()
    assert stream.feed(b'{\r\n "a": [\r\n') == []
    assert stream.pending == 12
    assert stream.feed(b"] }") == [{"a": []}]
    assert stream.pending == 0


def test_lines_with_several_objects_give_all_of_them() -> None:
    assert lines().feed(b'{"a": 1}{"b": 2} {"c": 3}\n{}\n') == [{"a": 1}, {"b": 2}, {"c": 3}, {}]


def test_lines_complete_before_what_is_none_can_be_had() -> None:
    objects: list[dict[str, object]] = []
    with pytest.raises(RemoteProtocolError, match="begins with b'!"):
        lines().feed_into(objects, b'{"a": 1}{"b": 2}\n{"c": 3}\n!{"d": 4}\n')
    assert objects == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_lines_unfinished_are_forgotten_when_cleared() -> None:
    stream = lines()
    for begun in (b'{"a"', b'{\n"a"'):
        stream.feed(begun)
        stream.clear()
        assert stream.pending == 0
        assert stream.feed(b"{}\n") == [{}]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no object of JSON: it begins with b'HTTP/1.1 400 Bad Req"),
        (b"\x16\x03", "no object of JSON"),
        (b"\xef\xbb\xbf{}\n", "no object of JSON"),
        (b"[]\n", "no object of JSON"),
        (b"{}\n}\n", "no object of JSON"),
        (b'{"a": tru}\n', "not JSON"),
        (b'{"a": "\xff"}\n', "not JSON"),
        (b'{\n"a": "\xff"}\n', "not JSON"),
        (b'{"a": "\n', "not JSON"),
        (b'{"a": "\x01"}\n', "not JSON"),
        (b'{"a"\n:\x00 1}\n', "not JSON"),
        (b'{"a": ' + b"[" * 50_000 + b"\n", "not JSON .*recursion"),
    ],
)
def test_lines_that_are_no_objects_are_refused(data: bytes, why: str) -> None:
    """At once, or when their line is complete; whole and byte by byte."""
    with pytest.raises(RemoteProtocolError, match=why):
        lines().feed(data)
    stream = lines()
    with pytest.raises(RemoteProtocolError):
        feed(stream, each(data))


def test_lines_of_wrong_types_are_refused_by_saying_where() -> None:
    stream = JSONLines(msgspec.json.Decoder(dict[str, int]))
    for data in (b'{"a": "x"}\n', b'{\n"a": "x"}\n'):
        with pytest.raises(RemoteProtocolError, match=r"wrong types \(Expected `int`, got `str` - at `\$\[\.\.\.\]`"):
            stream.feed(data)


@pytest.mark.parametrize("beginning", [b'{"a": "', b'{\n"a": "'])
def test_lines_without_end_are_refused_while_they_grow(beginning: bytes) -> None:
    """100 MiB come, one is kept."""
    stream = lines(max_message=2**20)
    stream.feed(beginning)
    kept: list[int] = []

    def line() -> Iterator[bytes]:
        for _ in range(1600):
            kept.append(stream.pending)
            yield b"x" * 2**16

    with pytest.raises(RemoteProtocolError, match="more than 1048576 bytes"):
        feed(stream, line())
    assert 2**20 - 2**16 < max(kept) <= 2**20
    assert stream.pending == 0


def test_lines_at_the_limit_are_taken_and_above_it_refused_however_they_come() -> None:
    """The newline counts."""
    good = b'{"a": "' + b"x" * 90 + b'"}\n'
    for pieces in ([good], each(good), [good[:50], good[50:]]):
        stream = lines(max_message=100)
        assert len([value for piece in pieces for value in stream.feed(piece)]) == 1
        with pytest.raises(RemoteProtocolError, match="more than 100 bytes"):
            feed(stream, (pieces[0][:1] + b" " + pieces[0][1:], *pieces[1:]))


def test_lines_long_and_broken_are_refused_without_a_walk_through_them() -> None:
    """A first line of several is short."""
    for size, is_first in ((MAX_FIRST_LINE - 11, True), (MAX_FIRST_LINE - 10, False)):
        stream, value = lines(), "x" * size
        data = b'{"a": "' + value.encode() + b'"\r,\n"b": 1}'
        if is_first:
            assert stream.feed(data) == [{"a": value, "b": 1}]
        else:
            with pytest.raises(RemoteProtocolError, match="not JSON"):
                stream.feed(data)


def test_lines_byte_by_byte_cost_what_their_bytes_cost() -> None:
    """Each byte is looked at a few times, not once for every byte before it: else this takes many times as long."""
    for data in (written({"a": "x" * 50_000}, None), written({"a": ["x"] * 3_000}, 4)):
        stream = lines()
        assert sum(len(stream.feed(piece)) for piece in each(data)) == 1


# ---------------------------------------------------------------- values


@given(
    values=st.lists(VALUES.filter(lambda value: not isinstance(value, int | None)), max_size=5),
    style=STYLES,
    space=st.sampled_from([b"", b" ", b"\r\n"]),
    data=st.data(),
)
def test_values_end_where_json_says_in_any_pieces(
    values: list[object], style: int | None, space: bytes, data: st.DataObject
) -> None:
    """Newline or not; what needs no space behind it needs none."""
    whole = b"".join(json.dumps(value, indent=style, ensure_ascii=False).encode() + space for value in values)
    for pieces in ([whole], each(whole), cut(data, whole)):
        stream = JSONValues()
        got = [value for piece in pieces for value in stream.feed(piece)]
        assert [json.loads(value) for value in got] == values
        assert stream.pending == 0


@pytest.mark.parametrize(
    ("data", "pieces", "rest"),
    [
        (b"", [], 0),
        (b" \t\r\n", [], 0),
        (b"nonsense\n", [b"nonsense"], 0),
        (b"nonsense", [], 8),
        (b"7 8{}", [b"7", b"8", b"{}"], 0),
        (b"true,", [], 5),
        (b"}{]1 ", [b"}", b"{]", b"1"], 0),
        (b'"x""\\"" "\\\\"{}', [b'"x"', b'"\\""', b'"\\\\"', b"{}"], 0),
        (b"\x00{}", [b"\x00", b"{}"], 0),
        (b"\xff\xff{}", [b"\xff", b"\xff", b"{}"], 0),
        (b'{"a\x01{}', [b'{"a\x01', b"{}"], 0),
        (b'{"a\xff{}', [b'{"a\xff', b"{}"], 0),
        (b'{"a":\xfe{}', [b'{"a":\xfe', b"{}"], 0),
        (b'{"a":\x1b{}', [b'{"a":\x1b', b"{}"], 0),
        (b'{"a\n{}', [b'{"a\n', b"{}"], 0),
        (b'{"a\\\xff{}', [b'{"a\\\xff', b"{}"], 0),
        (b"[[[\x00{}", [b"[[[\x00", b"{}"], 0),
        (b"nons\xff{}", [b"nons", b"\xff", b"{}"], 0),
    ],
)
def test_values_and_what_is_none_come_out_whole_and_byte_by_byte(data: bytes, pieces: list[bytes], rest: int) -> None:
    """A reset byte ends whatever was begun."""
    for fed in ([data], each(data)):
        stream = JSONValues()
        assert [value for piece in fed for value in stream.feed(piece)] == pieces
        assert stream.pending == rest


def test_values_unfinished_are_forgotten_when_cleared() -> None:
    stream = JSONValues()
    for begun in (b'[{"a', b'"\\', b"wor"):
        assert stream.feed(begun) == []
        stream.clear()
        assert stream.feed(b'{}""') == [b"{}", b'""']


@pytest.mark.parametrize("beginning", [b'"', b"[[", b"word"])
def test_values_without_end_are_refused_while_they_grow(beginning: bytes) -> None:
    stream = JSONValues(max_message=1000)
    stream.feed(beginning)
    with pytest.raises(RemoteProtocolError, match="more than 1000 bytes"):
        feed(stream, [b"x" * 100] * 20)
    assert stream.pending == 0
    with pytest.raises(RemoteProtocolError, match="more than 1000 bytes"):
        stream.feed(b'"' + b"x" * 999 + b'"')


def test_values_byte_by_byte_cost_what_their_bytes_cost() -> None:
    data = json.dumps({'"\\': ["x\\"] * 4_000}).encode()
    stream = JSONValues()
    assert sum(len(stream.feed(piece)) for piece in each(data)) == 1


# ---------------------------------------------------------------- decoding, ASCII


def test_decode_takes_bytes_and_raw_values() -> None:
    decoder = msgspec.json.Decoder(list[int])
    assert decode(decoder, b"[1]") == decode(decoder, msgspec.Raw(b"[1]")) == [1]


@given(value=VALUES)
def test_ascii_json_is_ascii_and_the_same(value: object) -> None:
    data = json.dumps(value, ensure_ascii=False).encode()
    assert ascii_json(data).isascii()
    assert json.loads(ascii_json(data)) == value


def test_ascii_json_escapes_as_qemu_does() -> None:
    """Recorded from QEMU 7.2: upper case, pairs for what is above 0xFFFF."""
    assert ascii_json('"ä€😀"'.encode()) == b'"\\u00E4\\u20AC\\uD83D\\uDE00"'
