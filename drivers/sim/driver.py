"""`sim://`: an in-memory hypervisor.

    sim://demo?domains=12&seed=7&rate=1&latency=0     lives by itself
    sim://NAME?domains=3&running=2&seed=7&latency=0   stays as it is until told

Each connection has a world of its own, unless one is given: `SimDriver(world=World(...))`. A given world is as it is,
so only `latency` may then be said.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Final, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from avirt.drivers.base import API, Credentials, Env, Session
from avirt.drivers.sim.life import Scripted, Seeded
from avirt.drivers.sim.session import SimSession
from avirt.drivers.sim.world import Times, World
from avirt.errors import AuthError, CannotConnect, InvalidURI
from avirt.uri import URI

__all__ = ["DEMO", "Settings", "SimDriver", "read_uri"]

DEMO: Final = "demo"
"""The authority of the world that lives by itself."""

MAX_DOMAINS: Final = 100_000
"""More would be a typing error: 100,000 domains take about 100 MB."""

T = TypeVar("T", int, float)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a `sim://` URI says. `latency` in seconds."""

    name: str
    domains: int
    running: int
    seed: int
    rate: float
    latency: float


def read_uri(uri: URI, *, given_world: bool = False) -> Settings:
    """Read a URI.

    Raises:
        InvalidURI: says what is wrong, and what may be said.
    """
    name = uri.host
    demo = name == DEMO
    allowed = ["latency"] if given_world else ["domains", "latency", "rate" if demo else "running", "seed"]
    hint = f"sim://{name or DEMO} takes: {', '.join(allowed)}"
    if not name or uri.path.strip("/") or uri.transport or uri.port is not None:
        raise InvalidURI(
            "a sim URI is sim://NAME with neither transport, port nor path", driver="sim", hint="e.g. sim://demo"
        )
    for key, _ in uri.query:
        if key.lower() not in allowed:
            raise InvalidURI(f"sim://{name} has no parameter '{key}'", driver="sim", hint=hint)

    def number(key: str, default: T, parse: Callable[[str], T], low: T, high: T) -> T:
        text = uri.param(key)
        if text is None:
            return default
        try:
            value = parse(text)
        except ValueError:
            value = None
        if value is None or not math.isfinite(value) or not low <= value <= high:
            raise InvalidURI(
                f"sim://{name}: {key} is '{text}', not a number from {low:g} to {high:g}", driver="sim", hint=hint
            )
        return value

    domains = number("domains", 12 if demo else 3, int, 0, MAX_DOMAINS)
    return Settings(
        name=name,
        domains=domains,
        running=number("running", math.ceil(domains * 2 / 3), int, 0, domains),
        seed=number("seed", 7, int, 0, 2**63 - 1),
        rate=number("rate", 1.0, float, 0.01, 1000.0),
        latency=number("latency", 0.0, float, 0.0, 60_000.0) / 1000,
    )


class SimDriver:
    """Opens sessions with simulated worlds.

    Args:
        world: what every connection of this driver sees; without one each gets a world of its own.
        life: what happens in the worlds it makes, instead of what the URI says.
    """

    name = "sim"
    schemes = frozenset({"sim"})
    api = API

    def __init__(self, world: World | None = None, *, life: Scripted | None = None) -> None:
        self._world = world
        self._life = life

    def open(self, uri: URI, env: Env) -> AbstractAsyncContextManager[Session]:
        """Connect to a world.

        Raises:
            InvalidURI, CannotConnect, AuthError: when entered.
        """
        return self._open(uri, env)

    @asynccontextmanager
    async def _open(self, uri: URI, env: Env) -> AsyncGenerator[Session]:
        settings = read_uri(uri, given_world=self._world is not None)
        await anyio.lowlevel.checkpoint()
        world = self._world or _make_world(settings, self._life)
        await _admit(world, uri, env)
        session = SimSession(world, uri=str(uri), latency=settings.latency, read_only=env.read_only)
        world.attach(session)
        try:
            yield session
        finally:
            session.close()


def _make_world(settings: Settings, life: Scripted | None) -> World:
    world = World(clock=anyio.current_time, rng=Random(settings.seed), name=settings.name)
    if settings.name == DEMO:
        world.times = Times(shutdown=0.5 / settings.rate, reboot=0.5 / settings.rate, save=0.6 / settings.rate)
        seeded = Seeded(domains=settings.domains, rate=settings.rate)
        seeded.populate(world)
        (life or seeded).begin(world)
        return world
    for index in range(1, settings.domains + 1):
        world.add(f"vm{index}", running=index <= settings.running)
    if life is not None:
        life.begin(world)
    return world


async def _admit(world: World, uri: URI, env: Env) -> None:
    """Wait, ask for credentials and refuse, as the world's faults say."""
    world.run_due()
    faults = world.faults
    if faults.delay:
        await anyio.sleep(faults.delay)
    if faults.is_mute():
        await anyio.sleep_forever()  # the caller's deadline ends it, as with a real peer that accepts and says nothing
    if faults.refused:
        raise CannotConnect(f"{world.name}: {faults.refused}", driver="sim", host=world.name, hint="try again later")
    if world.credentials is None and not faults.refuse_credentials:
        return
    given = await env.credentials(uri) if env.credentials is not None else None
    if given is None and uri.user:
        given = Credentials(username=uri.user, password=uri.password)
    if faults.refuse_credentials or given != world.credentials:
        raise AuthError(
            f"{world.name} wants credentials" if given is None else f"{world.name} refused the credentials",
            driver="sim",
            host=world.name,
            hint="give a credentials provider" if given is None else "check user name and password",
        )
