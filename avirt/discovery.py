"""Which hypervisors this machine has: what the environment names, else the sockets that are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from avirt.drivers.libvirt.sockets import Found, Surroundings, find_hypervisors
from avirt.errors import CannotConnect
from avirt.uri import URI

__all__ = ["Found", "default_uri", "discover"]


def discover(
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    exists: Callable[[str], bool] = os.path.exists,
) -> list[Found]:
    """The hypervisors found here, the default first: AVIRT_URI, then LIBVIRT_DEFAULT_URI, then libvirt's sockets.

    Args:
        environ, uid, exists: instead of this process's own environment, and this machine's files.

    Raises:
        InvalidURI: what the environment names is malformed.
    """
    return find_hypervisors(
        Surroundings(
            environ=os.environ if environ is None else environ,
            uid=os.getuid() if uid is None else uid,
            exists=exists,
        )
    )


def default_uri(
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    exists: Callable[[str], bool] = os.path.exists,
) -> URI:
    """The hypervisor that is meant when none is named.

    Raises:
        CannotConnect: there is none.
    """
    found = discover(environ, uid, exists)
    if not found:
        raise CannotConnect(
            "no hypervisor was found on this machine",
            hint="name one (-c URI, or AVIRT_URI), or start libvirtd; sim://demo needs none",
        )
    return found[0].uri
