"""Domain XML of the simulated hypervisor: read what the simulation knows, keep the rest, write it back."""

from __future__ import annotations

from typing import Final
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import msgspec

from avirt.drivers.sim.domain import Config, Image, SimDomain
from avirt.drivers.wire.xml import parse
from avirt.errors import InvalidArgument, RemoteProtocolError

__all__ = ["Definition", "read_xml", "write_image_xml", "write_xml"]

_UNITS: Final[dict[str, int]] = {
    "b": 1,
    "bytes": 1,
    "kb": 1000,
    "k": 1024,
    "kib": 1024,
    "mb": 1000**2,
    "m": 1024**2,
    "mib": 1024**2,
    "gb": 1000**3,
    "g": 1024**3,
    "gib": 1024**3,
    "tb": 1000**4,
    "t": 1024**4,
    "tib": 1024**4,
}
"""Scaled integers of libvirt's domain XML (formatdomain, "memory"); without a unit: KiB."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain's XML says. `uuid` None: the hypervisor makes one."""

    name: str
    uuid: UUID | None
    config: Config


def read_xml(xml: str) -> Definition:
    """Read a domain's XML.

    Raises:
        InvalidArgument: it is no XML, or no domain's.
    """
    try:
        root = parse(xml)
    except RemoteProtocolError as error:
        raise _refused(error.message) from error
    if root.tag != "domain":
        raise _refused(f"the root element is <{root.tag}>, not <domain>")
    name = (root.findtext("name") or "").strip()
    if not name or "/" in name:
        raise _refused("<name> is missing or unusable")
    text = (root.findtext("uuid") or "").strip()
    try:
        uuid = UUID(text) if text else None
    except ValueError:
        raise _refused(f"<uuid> is malformed: '{text}'") from None
    on_crash = (root.findtext("on_crash") or "").strip()
    config = Config(
        memory_kib=_memory_kib(root.find("memory")),
        vcpus=_number(root.findtext("vcpu") or "1", "vcpu"),
        preserve=on_crash == "preserve",
        restart=on_crash == "restart",
        xml=xml,
    )
    return Definition(name=name, uuid=uuid, config=config)


def write_xml(domain: SimDomain, *, inactive: bool = False) -> str:
    """The XML of a domain; without its runtime id if inactive, or asked as such."""
    config = domain.config
    root = parse(config.xml) if config.xml else _made(domain)
    root.attrib.pop("id", None)
    if domain.id is not None and not inactive:
        root.set("id", str(domain.id))
    _set_first(root, 0, "name", domain.name)
    _set_first(root, 1, "uuid", str(domain.uuid))
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def write_image_xml(image: Image) -> str:
    """The XML that a saved image holds."""
    root = parse(image.config.xml) if image.config.xml else Element("domain")
    _set_first(root, 0, "name", image.name)
    _set_first(root, 1, "uuid", str(UUID(bytes=image.key)))
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def _made(domain: SimDomain) -> Element:
    config = domain.config
    root = Element("domain", {"type": domain.world.domain_type})
    for tag in ("memory", "currentMemory"):
        SubElement(root, tag, {"unit": "KiB"}).text = str(config.memory_kib)
    SubElement(root, "vcpu", {"placement": "static"}).text = str(config.vcpus)
    SubElement(SubElement(root, "os"), "type", {"arch": "x86_64"}).text = "hvm"
    SubElement(root, "on_crash").text = _on_crash(config)
    devices = SubElement(root, "devices")
    disk = SubElement(devices, "disk", {"type": "file", "device": "disk"})
    SubElement(disk, "source", {"file": f"/var/lib/sim/{domain.name}.qcow2"})
    SubElement(disk, "target", {"dev": "vda", "bus": "virtio"})
    nic = SubElement(devices, "interface", {"type": "network"})
    # qemu's prefix, then bytes of the uuid: stable and distinct
    SubElement(nic, "mac", {"address": "52:54:00:" + ":".join(f"{byte:02x}" for byte in domain.key[:3])})
    SubElement(nic, "source", {"network": "default"})
    return root


def _on_crash(config: Config) -> str:
    return "restart" if config.restart else "preserve" if config.preserve else "destroy"


def _set_first(root: Element, index: int, tag: str, text: str) -> None:
    element = root.find(tag)
    if element is None:
        element = Element(tag)
        root.insert(index, element)
    element.text = text


def _memory_kib(element: Element | None) -> int:
    if element is None:
        raise _refused("<memory> is missing")
    unit = _UNITS.get(element.get("unit", "KiB").lower())
    if unit is None:
        raise _refused(f"<memory> has an unknown unit: '{element.get('unit')}'")
    return max(1, _number(element.text or "", "memory") * unit // 1024)


def _number(text: str, tag: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) == 0:
        raise _refused(f"<{tag}> is no number above 0")
    return int(text)


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"the domain's XML is refused: {why}", driver="sim", hint="see libvirt's formatdomain")
