"""URIs: parsed once, printed without secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.errors import InvalidURI
from avirt.uri import URI, parse_uri


def test_uri_libvirt_ssh_is_taken_apart() -> None:
    uri = parse_uri("qemu+ssh://u@h:22/system?keyfile=k&x=1")
    assert uri == URI(
        scheme="qemu",
        transport="ssh",
        user="u",
        host="h",
        port=22,
        path="/system",
        query=(("keyfile", "k"), ("x", "1")),
    )
    assert list(uri.without({"keyfile"})) == [("x", "1")]


def test_uri_ipv6_and_case() -> None:
    uri = parse_uri("QEMU+TLS://[::1]:16514/system")
    assert (uri.scheme, uri.transport, uri.host, uri.port) == ("qemu", "tls", "::1", 16514)
    assert str(uri) == "qemu+tls://[::1]:16514/system"


def test_uri_parameter_names_are_compared_without_case() -> None:
    assert parse_uri("test+unix:///default?SOCKET=%2Frun%2Fx").param("socket") == "/run/x"


def test_uri_prints_no_secret() -> None:
    text = str(parse_uri("vpx://u:canary@h/dc?password=canary&Token=canary"))
    assert "canary" not in text
    assert "canary" not in repr(parse_uri("vpx://u:canary@h/dc"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "qemu", "qemu:/system", "://x", "1qemu:///x", "qemu+:///x", "qemu+s h:///x", "qemu://h:x/", "qemu://h:99999/",
     "qemu://[::1/", "qemu:///x#y", "qe mu:///x", "qemu:///a\nb", "user:canary@qemu://h/"],
)  # fmt: skip
def test_uri_malformed_is_a_typed_error_without_secrets(text: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse_uri(text)
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@given(st.text(max_size=60))
def test_uri_any_text_parses_or_is_a_typed_error(text: str) -> None:
    try:
        uri = parse_uri(text)
    except InvalidURI:
        return
    str(uri)


@given(
    st.sampled_from(["qemu", "xen"]),
    st.sampled_from(["", "ssh", "unix"]),
    st.text("ab@:/ü%", max_size=5),
    st.text("ab.-", max_size=5),
    st.text("ab/ü%?#&=", max_size=8),
    st.lists(st.tuples(st.text("abc", min_size=1), st.text("ab/ü%?#&=", max_size=4)), max_size=3),
)
def test_uri_printed_parses_to_the_same(
    scheme: str, transport: str, user: str, host: str, path: str, query: list[tuple[str, str]]
) -> None:
    uri = URI(scheme=scheme, transport=transport, user=user, host=host, path=f"/{path}", query=tuple(query))
    assert parse_uri(str(uri)) == uri
