"""What a daemon does to its domains: the calls that change something, each a thin layer over the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from avirt.drivers.libvirt import flags as f
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.sim.definition import write_image_xml
from avirt.drivers.sim.domain import Job, SimDomain
from avirt.errors import InvalidArgument
from avirt.model.command import ShutdownMode
from avirt.testing.simulators.libvirt.answers import Answer, Handler, Later, Refusal
from avirt.testing.simulators.libvirt.errors import INVALID_ARG, XML_ERROR, remote_error
from avirt.testing.simulators.libvirt.reading import domain_of, remote_of

if TYPE_CHECKING:
    from avirt.testing.simulators.libvirt.peer import Peer

__all__ = ["VERBS"]

_MODES: Final[Mapping[int, ShutdownMode]] = {
    f.Shutdown.ACPI_POWER_BTN: ShutdownMode.ACPI,
    f.Shutdown.GUEST_AGENT: ShutdownMode.AGENT,
    f.Shutdown.INITCTL: ShutdownMode.INITCTL,
    f.Shutdown.SIGNAL: ShutdownMode.SIGNAL,
    f.Shutdown.PARAVIRT: ShutdownMode.PARAVIRT,
}


def _simple(act: Callable[[SimDomain], object]) -> Handler:
    """A call that answers nothing."""

    def handle(peer: Peer, dom: RemoteDomain, *rest: object) -> Answer:
        act(domain_of(peer, dom))
        return None

    return handle


# ------------------------------------------------------------ power


def _create(peer: Peer, dom: RemoteDomain, flags: int = 0) -> SimDomain:
    domain = domain_of(peer, dom)
    _check_start(peer, flags)
    domain.start(paused=bool(flags & f.Create.START_PAUSED), force_boot=bool(flags & f.Create.START_FORCE_BOOT))
    if flags & f.Create.START_AUTODESTROY:
        peer.destroy_on_close(domain)
    return domain


def _check_start(peer: Peer, flags: int) -> None:
    if unknown := flags & ~peer.daemon.profile.start_flags:
        text = f"unsupported flags ({unknown:#x}) in function virDomainCreateWithFlags"
        raise Refusal(remote_error(INVALID_ARG, text, domain=peer.daemon.profile.error_domain))


def _create_plain(peer: Peer, dom: RemoteDomain) -> Answer:
    _create(peer, dom)
    return None


def _create_with_flags(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    return remote_of(_create(peer, dom, flags))


def _create_xml(peer: Peer, xml: str, flags: int) -> Answer:
    _check_start(peer, flags)
    domain = _from_xml(peer, lambda: peer.daemon.world.create(xml, paused=bool(flags & f.Create.START_PAUSED)))
    if flags & f.Create.START_AUTODESTROY:
        peer.destroy_on_close(domain)
    return remote_of(domain)


def _from_xml(peer: Peer, make: Callable[[], SimDomain]) -> SimDomain:
    try:
        return make()
    except InvalidArgument as error:
        raise Refusal(remote_error(XML_ERROR, error.message, domain=peer.daemon.profile.error_domain)) from error


def _modes(flags: int) -> list[ShutdownMode]:
    return [mode for bit, mode in _MODES.items() if flags & bit]


def _shutdown(peer: Peer, dom: RemoteDomain, flags: int = 0) -> Answer:
    domain_of(peer, dom).shutdown(_modes(flags))
    return None


def _reboot(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    domain_of(peer, dom).reboot(_modes(flags))
    return None


# ------------------------------------------------------------ saving


def _when_done(job: Job) -> Answer:
    return Later(job.due, job.result)


def _save(peer: Peer, dom: RemoteDomain, to: str, xml: str | None = None, flags: int = 0) -> Answer:
    job = domain_of(peer, dom).save(
        to, running=bool(flags & f.SaveRestore.RUNNING), paused=bool(flags & f.SaveRestore.PAUSED)
    )
    return _when_done(job)


def _managed_save(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    job = domain_of(peer, dom).managed_save(
        running=bool(flags & f.SaveRestore.RUNNING), paused=bool(flags & f.SaveRestore.PAUSED)
    )
    return _when_done(job)


def _restore(peer: Peer, path: str, xml: str | None = None, flags: int = 0) -> Answer:
    peer.daemon.world.restore(
        path, running=bool(flags & f.SaveRestore.RUNNING), paused=bool(flags & f.SaveRestore.PAUSED)
    )
    return None


def _image_xml(peer: Peer, path: str, flags: int) -> Answer:
    image = peer.daemon.world.images.get(path)
    if image is None:
        text = f"Failed to open file '{path}': No such file or directory"
        raise Refusal(remote_error(38, text, domain=peer.daemon.profile.error_domain, int1=2))
    return write_image_xml(image)


# ------------------------------------------------------------ definitions


def _define(peer: Peer, xml: str, flags: int = 0) -> Answer:
    return remote_of(_from_xml(peer, lambda: peer.daemon.world.define(xml)))


def _undefine(peer: Peer, dom: RemoteDomain, flags: int = 0) -> Answer:
    domain_of(peer, dom).undefine(managed_save=bool(flags & f.Undefine.MANAGED_SAVE))
    return None


def _rename(peer: Peer, dom: RemoteDomain, new: str | None, flags: int) -> Answer:
    if new is None:
        raise Refusal(remote_error(INVALID_ARG, "new name is missing", domain=peer.daemon.profile.error_domain))
    domain_of(peer, dom).rename(new)
    return 0


def _set_autostart(peer: Peer, dom: RemoteDomain, enabled: int) -> Answer:
    domain_of(peer, dom).set_autostart(bool(enabled))
    return None


VERBS: Final[Mapping[Procedure[Any], Handler]] = {
    Proc.DOMAIN_CREATE: _create_plain,
    Proc.DOMAIN_CREATE_WITH_FLAGS: _create_with_flags,
    Proc.DOMAIN_CREATE_XML: _create_xml,
    Proc.DOMAIN_SHUTDOWN: _shutdown,
    Proc.DOMAIN_SHUTDOWN_FLAGS: _shutdown,
    Proc.DOMAIN_DESTROY: _simple(SimDomain.destroy),
    Proc.DOMAIN_DESTROY_FLAGS: _simple(SimDomain.destroy),
    Proc.DOMAIN_REBOOT: _reboot,
    Proc.DOMAIN_RESET: _simple(SimDomain.reset),
    Proc.DOMAIN_SUSPEND: _simple(SimDomain.suspend),
    Proc.DOMAIN_RESUME: _simple(SimDomain.resume),
    Proc.DOMAIN_PM_SUSPEND_FOR_DURATION: _simple(SimDomain.pm_suspend),
    Proc.DOMAIN_PM_WAKEUP: _simple(SimDomain.pm_wakeup),
    Proc.DOMAIN_SAVE: _save,
    Proc.DOMAIN_SAVE_FLAGS: _save,
    Proc.DOMAIN_RESTORE: _restore,
    Proc.DOMAIN_RESTORE_FLAGS: _restore,
    Proc.DOMAIN_SAVE_IMAGE_GET_XML_DESC: _image_xml,
    Proc.DOMAIN_MANAGED_SAVE: _managed_save,
    Proc.DOMAIN_MANAGED_SAVE_REMOVE: _simple(SimDomain.managed_save_remove),
    Proc.DOMAIN_DEFINE_XML: _define,
    Proc.DOMAIN_DEFINE_XML_FLAGS: _define,
    Proc.DOMAIN_UNDEFINE: _undefine,
    Proc.DOMAIN_UNDEFINE_FLAGS: _undefine,
    Proc.DOMAIN_RENAME: _rename,
    Proc.DOMAIN_SET_AUTOSTART: _set_autostart,
}
