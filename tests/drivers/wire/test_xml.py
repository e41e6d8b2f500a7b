"""XML from outside: what is read, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.wire.xml import MAX_DEPTH, first_text, parse
from avirt.errors import RemoteProtocolError

CAPABILITIES = """<?xml version="1.0"?>
<capabilities>
  <guest><uuid>not this one</uuid></guest>
  <host><cpu><uuid>nor this</uuid></cpu>
    <uuid> e79d56d9-96fa-54c1-afe3-<!-- split -->e84c8beb992e </uuid>
    <uuid>the second</uuid>
  </host>
</capabilities>"""

LAUGHS = """<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>"""
EXTERNAL = """<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>"""


def test_first_text_takes_the_element_at_that_very_path() -> None:
    """Same names at other depths don't count; text around comments is joined and stripped."""
    assert first_text(CAPABILITIES, "capabilities/host/uuid") == "e79d56d9-96fa-54c1-afe3-e84c8beb992e"
    assert first_text(CAPABILITIES.encode(), "capabilities/guest/uuid") == "not this one"


@pytest.mark.parametrize("path", ["capabilities/uuid", "host/uuid", "capabilities/host/uuid/deeper", "other"])
def test_first_text_without_such_an_element_is_none(path: str) -> None:
    """Absent is None, not an error."""
    assert first_text(CAPABILITIES, path) is None


def test_first_text_of_an_empty_element_is_empty() -> None:
    """Present and empty is told apart from absent."""
    assert first_text("<a><b/></a>", "a/b") == ""
    assert first_text("<a><b><c>x</c>y</b></a>", "a/b") == "y"


def test_first_text_ignores_what_comes_later() -> None:
    """It stops at the element's end."""
    assert first_text("<a><b>x</b></wrong>", "a/b") == "x"


def test_parse_gives_elements_with_attributes_and_text() -> None:
    """The tree of ElementTree; prefixes as written, the five entities of XML resolved."""
    root = parse("""<domain type='test' xmlns:q='http://x'><name>a &amp; b</name><q:x>1</q:x><!-- c --></domain>""")
    assert root.tag == "domain"
    assert root.attrib["type"] == "test"
    assert root.findtext("name") == "a & b"
    assert [child.tag for child in root] == ["name", "q:x"]


@pytest.mark.parametrize("document", [LAUGHS, EXTERNAL, "<!DOCTYPE a><a/>"])
def test_a_dtd_is_refused(document: str) -> None:
    """No entity is ever expanded, no file ever opened."""
    with pytest.raises(RemoteProtocolError, match="DTD"):
        parse(document)
    with pytest.raises(RemoteProtocolError, match="DTD"):
        first_text(document, "a")


@pytest.mark.parametrize(
    "document",
    ["", "<a>", "<a></b>", "<a/><b/>", "text", "<a>&unknown;</a>", "<a>\udcff</a>", b"\xff\xfe\x00", "<a\0/>"],
)
def test_malformed_xml_is_a_protocol_error(document: str | bytes) -> None:
    """expat's own error is the cause."""
    with pytest.raises(RemoteProtocolError, match="malformed"):
        parse(document)


def test_a_document_above_the_limit_is_refused() -> None:
    """Before it is parsed; at the limit it is read."""
    document = "<a>é</a>"
    assert parse(document, max_size=9).tag == "a"
    with pytest.raises(RemoteProtocolError, match="at most 8"):
        parse(document, max_size=8)


def test_nesting_above_the_limit_is_refused() -> None:
    """A tree that deep could not be walked by recursion."""
    assert parse("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH).tag == "a"
    with pytest.raises(RemoteProtocolError, match="nests"):
        parse("<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1))


@given(st.one_of(st.text(), st.binary(), st.text(alphabet="<>/ab &;!-[]\"'=")))
def test_only_documented_errors_leave_the_parser(document: str | bytes) -> None:
    """Fuzz."""
    for read in (parse, lambda text: first_text(text, "a/b")):
        with suppress(RemoteProtocolError):
            read(document)
