"""XML that comes from outside, read with the standard library's expat: no DTD, no entities, bounded size and depth.

`parse` gives an ElementTree element, `first_text` one text without building a tree. Only `RemoteProtocolError` leaves
this module. XML that goes back to a hypervisor is not made here: ElementTree drops prefixes and comments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from avirt.errors import RemoteProtocolError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["MAX_DEPTH", "MAX_SIZE", "first_text", "parse"]

MAX_SIZE: Final = 16 * 1024 * 1024
"""Bytes. The largest documents known, capabilities and domains with thousands of devices, stay below 2 MiB."""

MAX_DEPTH: Final = 256
"""Elements within elements; hypervisors' own documents stay below 20."""


class _Found(Exception):
    """What was looked for is complete."""


class _Reader(ABC):
    """One expat parser with the refusals; subclasses take what they want of the elements."""

    __slots__ = ("depth", "parser")

    def __init__(self) -> None:
        self.depth = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self.text
        self.parser = parser

    def read(self, document: str | bytes, max_size: int) -> None:
        data = document.encode("utf-8", "surrogateescape") if isinstance(document, str) else document
        if len(data) > max_size:
            raise RemoteProtocolError(f"an XML document of {len(data)} bytes; at most {max_size} are read")
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            raise RemoteProtocolError(f"malformed XML: {error}") from error

    def _refuse_doctype(self, name: str, system: str | None, public: str | None, has_subset: bool) -> None:
        del name, system, public, has_subset
        # entities need a DTD to be declared in; without one expat knows only the five of XML itself
        raise RemoteProtocolError("an XML document with a DTD is refused", hint="hypervisors send none")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RemoteProtocolError(f"an XML document nests more than {MAX_DEPTH} elements")
        self.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self.end(tag)
        self.depth -= 1

    @abstractmethod
    def start(self, tag: str, attributes: dict[str, str]) -> None: ...

    @abstractmethod
    def end(self, tag: str) -> None: ...

    @abstractmethod
    def text(self, text: str) -> None: ...


class _TextReader(_Reader):
    """Stops at the end of the first element whose path from the root is the one wanted."""

    __slots__ = ("matched", "parts", "path")

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path.split("/")
        self.matched = 0
        self.parts: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        del attributes
        if self.matched == self.depth - 1 < len(self.path) and self.path[self.matched] == tag:
            self.matched += 1

    def end(self, tag: str) -> None:
        del tag
        if self.depth == self.matched:
            if self.matched == len(self.path):
                raise _Found
            self.matched -= 1

    def text(self, text: str) -> None:
        if self.matched == self.depth == len(self.path):
            self.parts.append(text)


def first_text(document: str | bytes, path: str, *, max_size: int = MAX_SIZE) -> str | None:
    """The stripped text of the first element at `path` ("capabilities/host/uuid"), None if there is none.

    What comes after that element is not read, hence not checked either.

    Raises:
        RemoteProtocolError: malformed up to there, too large, too deep, or with a DTD.
    """
    reader = _TextReader(path)
    try:
        reader.read(document, max_size)
    except _Found:
        return "".join(reader.parts).strip()
    return None


class _TreeReader(_Reader):
    __slots__ = ("builder",)

    def __init__(self) -> None:
        from xml.etree.ElementTree import TreeBuilder  # 4 ms that a plain connect does not need

        super().__init__()
        self.builder = TreeBuilder()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self.builder.end(tag)

    def text(self, text: str) -> None:
        self.builder.data(text)


def parse(document: str | bytes, *, max_size: int = MAX_SIZE) -> Element:
    """The root element of a document. Names keep their prefixes as written; comments are dropped.

    Raises:
        RemoteProtocolError: malformed, too large, too deep, or with a DTD.
    """
    reader = _TreeReader()
    reader.read(document, max_size)
    return reader.builder.close()
