"""What `avirt doctor` says of an open connection: keepalive, how it answers, whether a second one can be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import anyio

from avirt.drivers.base import Finding
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.lanes import Lanes
from avirt.errors import AvirtError, ConnectionLost, OperationTimeout

__all__ = ["ConnectionDiagnostics"]

BURST: Final = 20
"""Cheap calls that are made at once: more than any server reads at once, so that its limit is met."""

PATIENCE: Final = 5.0
"""Seconds; all of them together take a few milliseconds."""


class ConnectionDiagnostics:
    """`drivers.base.Diagnostics`. `patience`: seconds for what takes milliseconds."""

    def __init__(self, lanes: Lanes, *, patience: float = PATIENCE) -> None:
        self._lanes = lanes
        self._patience = patience

    async def diagnose(self) -> Sequence[Finding]:
        """Looks, and makes calls that change nothing."""
        return [self._keepalive(), await self._requests(), await self._second_connection(), *self._hung()]

    def _hung(self) -> list[Finding]:
        """Domains that this connection found to hang."""
        return [
            Finding(
                step="domain",
                ok=False,
                text=f"{UUID(bytes=key)}: {hung}",
                hint="its emulator or storage hangs, or a job holds it: see the daemon's log; destroy goes through",
            )
            for (key, _), hung in self._lanes.breaker.hung.items()
        ]

    def _keepalive(self) -> Finding:
        watch = self._lanes.control.keepalive
        if watch is None:
            return Finding(
                step="keepalive",
                ok=None,
                text="the daemon does not speak it: a silent one is found only when a call is not answered",
            )
        lost_after = watch.interval * (watch.count + 1)
        return Finding(
            step="keepalive",
            ok=True,
            text=f"agreed: pinged after {watch.interval:g} s of silence, lost after {lost_after:g} s",
        )

    async def _requests(self) -> Finding:
        rpc = self._lanes.control
        began = anyio.current_time()
        calls = [rpc.submit(Proc.CONNECT_GET_LIB_VERSION, timeout=self._patience) for _ in range(BURST)]
        try:
            for call in calls:
                await call.wait()
        except OperationTimeout:
            return Finding(
                step="request limit",
                ok=False,
                text=f"{BURST} calls at once were not answered within {self._patience:g} s",
                hint="the daemon's workers are busy, perhaps with a domain that hangs; or max_client_requests in its"
                f" configuration is below the {rpc.settings.window} that avirt has under way at once",
            )
        took = (anyio.current_time() - began) * 1000
        return Finding(
            step="request limit",
            ok=True,
            text=f"{BURST} calls at once took {took:.1f} ms; avirt has {rpc.settings.window} under way at once,"
            " the daemon's max_client_requests (5 unless configured) must not be below that",
        )

    async def _second_connection(self) -> Finding:
        try:
            await self._lanes.calls()
        except ConnectionLost:
            raise
        except AvirtError as error:
            return Finding(
                step="second lane",
                ok=False,
                text=f"no second connection for calls that last: {error.message}",
                hint="raise max_clients or max_anonymous_clients in the daemon's configuration, or close other clients",
            )
        return Finding(step="second lane", ok=True, text="a second connection for calls that last could be opened")
