"""What a host says of itself, read in one write right after opening; and its identity.

Identity is the uuid in the capabilities' <host>, taken from the firmware. Where there is none (the test driver), or one
that boards share because nobody set it, it is made from that uuid and the host's name.
"""

from __future__ import annotations

from typing import Final, TypeVar
from uuid import UUID, uuid5

import msgspec

from avirt.drivers.libvirt.generated.procedures import Feature, Proc
from avirt.drivers.libvirt.rpc import Call, Rpc
from avirt.drivers.wire.xml import first_text
from avirt.errors import AvirtError, ConnectionLost, RemoteProtocolError
from avirt.log import get_logger
from avirt.model.record import HostFacts

__all__ = ["Host", "host_uuid", "read_host"]

T = TypeVar("T")

NAMESPACE: Final = UUID("5f3a7c1e-6d52-5c0b-9b1f-2f6f1a9d4e77")
"""Of uuids made from a host's name. Never to change: an identity must outlive this version."""

SHARED_UUIDS: Final = frozenset(
    UUID(text)
    for text in (
        # firmware that nobody gave a number (SMBIOS type 1; libvirt-wire.md does not know them, their boards do)
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "03020100-0504-0706-0809-0a0b0c0d0e0f",
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "4c4c4544-0000-2010-8020-80c04f202020",
    )
)


class Host(msgspec.Struct, frozen=True):
    """What is known of a connection once it is open.

    Attributes:
        facts: for the engine.
        type: the inner driver's name.
        has_event_callbacks: domain events may be registered one by one, with a callback id (since 1.2.x).
        has_close_callback: the server tells when it lost its hypervisor.
    """

    facts: HostFacts
    type: str
    has_event_callbacks: bool
    has_close_callback: bool


_log = get_logger("libvirt")


def host_uuid(native: str | None, hostname: str, product: str) -> UUID:
    """The identity of a host.

    Args:
        native: what it says, whatever that is; None: nothing.
    """
    try:
        uuid = UUID(native or "")
    except ValueError:
        uuid = UUID(int=0)
    is_uniform = len(set(uuid.bytes)) == 1  # all zeros, all ones, any other filler
    if not is_uniform and uuid not in SHARED_UUIDS:
        return uuid
    return uuid5(NAMESPACE, f"{uuid}|{hostname}|{product}")


async def _or(call: Call[T], default: T) -> T:
    """What not every driver answers."""
    try:
        return await call.wait()
    except (ConnectionLost, RemoteProtocolError):
        raise
    except AvirtError as error:
        _log.debug("the host does not say", procedure=call.what.name, why=str(error))
        return default


async def read_host(rpc: Rpc, *, read_only: bool) -> Host:
    """Ask all at once.

    Raises:
        AvirtError: it does not even say what it is.
    """
    type = rpc.submit(Proc.CONNECT_GET_TYPE)
    name = rpc.submit(Proc.CONNECT_GET_HOSTNAME)
    capabilities = rpc.submit(Proc.CONNECT_GET_CAPABILITIES)
    version = rpc.submit(Proc.CONNECT_GET_VERSION)
    library = rpc.submit(Proc.CONNECT_GET_LIB_VERSION)
    # answered by the server itself, whatever the driver (§5)
    callbacks = rpc.submit(Proc.CONNECT_SUPPORTS_FEATURE, Feature.REMOTE_EVENT_CALLBACK)
    closing = rpc.submit(Proc.CONNECT_SUPPORTS_FEATURE, Feature.REMOTE_CLOSE_CALLBACK)
    product = await type.wait()
    hostname = await _or(name, "")
    document = await _or(capabilities, "")
    facts = HostFacts(
        uuid=host_uuid(_native_uuid(document), hostname, product),
        hostname=hostname,
        product=product,
        driver="libvirt",
        version=_version(await _or(version, 0)),
        driver_version=_version(await _or(library, 0)),
        read_only=read_only,
    )
    return Host(facts, product, await _or(callbacks, 0) == 1, await _or(closing, 0) == 1)


def _native_uuid(document: str) -> str | None:
    if not document:
        return None
    try:
        return first_text(document, "capabilities/host/uuid")
    except RemoteProtocolError as error:
        _log.warning("the host's capabilities can't be read", why=str(error))
        return None


def _version(number: int) -> tuple[int, int, int] | None:
    """major * 1000000 + minor * 1000 + micro (§6); 0: not said."""
    return (number // 1_000_000, number // 1000 % 1000, number % 1000) if number else None
