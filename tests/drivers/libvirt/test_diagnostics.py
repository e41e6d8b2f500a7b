"""What `avirt doctor` is told of an open connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from avirt.drivers.base import Diagnostics, Finding
from avirt.drivers.libvirt.capabilities import capability_of
from avirt.drivers.libvirt.diagnostics import BURST, ConnectionDiagnostics
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.lanes import Lanes, open_lanes
from avirt.drivers.libvirt.session import Rpc
from avirt.errors import CannotConnect, ConnectionLost
from tests.drivers.libvirt.fake_daemon import HOLD, FakeDaemon, connected

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def another() -> AsyncGenerator[Rpc]:
    async with connected() as (rpc, _):
        yield rpc


@asynccontextmanager
async def refused() -> AsyncGenerator[Rpc]:
    async with connected() as (rpc, _):
        if rpc.lost is None:
            raise CannotConnect("too many clients")
        yield rpc


def serve(daemon: FakeDaemon) -> None:
    daemon.handlers[Proc.CONNECT_GET_LIB_VERSION] = lambda: 9_000_000


def no_keepalive(daemon: FakeDaemon) -> None:
    serve(daemon)
    daemon.handlers[Proc.CONNECT_SUPPORTS_FEATURE] = lambda feature: 0


async def findings(lanes: Lanes, *, patience: float | None = None) -> dict[str, Finding]:
    diagnostics = ConnectionDiagnostics(lanes) if patience is None else ConnectionDiagnostics(lanes, patience=patience)
    return {finding.step: finding for finding in await diagnostics.diagnose()}


async def test_a_healthy_connection_is_found_to_be_so() -> None:
    async with connected(prepare=serve) as (rpc, daemon), open_lanes(rpc, another) as lanes:
        found = await findings(lanes)
        assert [finding.ok for finding in found.values()] == [True, True, True]
        assert "lost after 30 s" in found["keepalive"].text
        assert daemon.names().count("connect_get_lib_version") == BURST
        assert daemon.most_in_flight == rpc.settings.window


async def test_a_daemon_without_keepalive_is_noted() -> None:
    async with connected(prepare=no_keepalive) as (rpc, _), open_lanes(rpc, another) as lanes:
        assert (await findings(lanes))["keepalive"].ok is None


async def test_a_daemon_that_does_not_answer_has_a_request_limit_or_hangs() -> None:
    def hold(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.CONNECT_GET_LIB_VERSION] = lambda: HOLD

    async with connected(prepare=hold) as (rpc, _), open_lanes(rpc, another) as lanes:
        finding = (await findings(lanes, patience=0.05))["request limit"]
        assert finding.ok is False
        assert "max_client_requests" in finding.hint


async def test_a_daemon_that_admits_no_second_client_is_said() -> None:
    async with connected(prepare=serve) as (rpc, _), open_lanes(rpc, refused) as lanes:
        finding = (await findings(lanes))["second lane"]
        assert finding.ok is False
        assert "too many clients" in finding.text
        assert "max_clients" in finding.hint


async def test_a_connection_that_is_lost_meanwhile_is_lost() -> None:
    async with connected(prepare=serve) as (rpc, _), open_lanes(rpc, another) as lanes:
        rpc.close(ConnectionLost("gone"))
        with pytest.raises(ConnectionLost):
            await findings(lanes)


async def test_the_driver_offers_it_on_every_connection() -> None:
    async with connected(prepare=serve) as (rpc, _), open_lanes(rpc, another) as lanes:
        assert isinstance(capability_of(Diagnostics, lanes, has_domains=False), Diagnostics)
