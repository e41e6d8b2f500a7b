"""Calls on one connection, on three loops, against a small daemon at the other end of a socket pair."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomainGetStateRet, RemoteStorageVol
from avirt.drivers.libvirt.protocol import Message, MessageStatus, MessageType
from avirt.drivers.libvirt.rpc import ABANDONED_LIMIT, Arrival, Call, Rpc, Settings
from avirt.drivers.wire.pending import Priority
from avirt.errors import (
    AccessDenied,
    Busy,
    ConnectionLost,
    InternalError,
    LocalProtocolError,
    NotFound,
    OperationTimeout,
    Outcomes,
    Phase,
    RemoteProtocolError,
    Unsupported,
)
from tests.drivers.libvirt.fake_daemon import DOMAIN, HOLD, FakeDaemon, complaint, connected

pytestmark = pytest.mark.anyio

STATE = RemoteDomainGetStateRet(7, 0)
SLOW = Proc.DOMAIN_GET_XML_DESC


def hold(daemon: FakeDaemon) -> None:
    """XML descriptions are answered when the test says so."""
    daemon.handlers[SLOW] = lambda dom, flags: HOLD


def get_state(rpc: Rpc, **options: Any) -> Coroutine[Any, Any, RemoteDomainGetStateRet]:
    return rpc.call(Proc.DOMAIN_GET_STATE, DOMAIN, 0, **options)


def is_idle(rpc: Rpc) -> bool:
    return rpc.is_idle


def is_clogged(rpc: Rpc) -> bool:
    return rpc.is_clogged


async def works(rpc: Rpc) -> None:
    """The connection answers."""
    with anyio.fail_after(10):
        assert await get_state(rpc) == STATE


# ---------------------------------------------------------------- answers


async def test_call_returns_the_decoded_answer() -> None:
    """A struct, or the one field."""
    async with connected() as (rpc, daemon):
        daemon.handlers[Proc.CONNECT_GET_HOSTNAME] = lambda: "h1"
        assert await get_state(rpc) == STATE
        assert await rpc.call(Proc.CONNECT_GET_HOSTNAME) == "h1"


async def test_call_refused_by_the_daemon_raises_its_typed_error() -> None:
    """With code, text and verb."""
    async with connected() as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: complaint(42, "gone")
        with pytest.raises(NotFound, match="gone") as caught:
            await get_state(rpc)
        assert (caught.value.code, caught.value.verb) == (42, "domain_get_state")
        with pytest.raises(Unsupported):
            await rpc.call(Proc.CONNECT_GET_HOSTNAME)


async def test_call_that_can_not_be_encoded_sends_nothing() -> None:
    """Our own mistake, and the connection is as before."""
    async with connected() as (rpc, daemon):
        before = len(daemon.calls)
        with pytest.raises(LocalProtocolError):
            await rpc.call(Proc.DOMAIN_GET_STATE, DOMAIN)
        await works(rpc)
        assert len(daemon.calls) == before + 1
        assert is_idle(rpc)


async def test_answer_that_can_not_be_decoded_costs_only_its_call() -> None:
    """The frame was sound."""
    async with connected(prepare=hold) as (rpc, daemon):
        call = rpc.submit(SLOW, DOMAIN, 0)
        await checkpoint()
        await daemon.until(lambda: len(daemon.held) == 1)
        asked = daemon.held[0]
        daemon.send(Message(asked.program, asked.procedure, MessageType.REPLY, asked.serial, payload=b"\xff" * 5))
        with pytest.raises(RemoteProtocolError):
            await call.wait()
        await works(rpc)


async def test_raw_call_returns_the_payload() -> None:
    """For replies that are decoded in slices."""
    async with connected() as (rpc, _):
        payload = await rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0, raw=True).wait()
        assert payload == b"\0\0\0\7\0\0\0\0"


# ---------------------------------------------------------------- many at once


async def test_calls_beyond_the_window_wait_here() -> None:
    """Four at once, or a ping would not get through (libvirt-wire §3); replies come in any order."""
    async with connected(prepare=hold) as (rpc, daemon):
        calls = [rpc.submit(SLOW, DOMAIN, n) for n in range(10)]
        assert rpc.statistics.queued == 10
        answered: list[str] = []

        async def wait(call: Call[str]) -> None:
            answered.append(await call.wait())

        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(wait, call)
            for batch in (4, 4, 2):
                await daemon.until(lambda batch=batch: len(daemon.held) == batch)  # type: ignore[misc]
                held, daemon.held = daemon.held, []
                for message in reversed(held):
                    daemon.reply(message, f"xml{message.serial}")
        assert daemon.most_in_flight == 4
        assert sorted(answered) == sorted(f"xml{call.serial}" for call in calls)
        assert [await call.wait() for call in calls] == [f"xml{call.serial}" for call in calls]
        assert is_idle(rpc)


async def test_two_hundred_pipelined_calls_are_all_answered() -> None:
    """And written in few pieces."""
    async with connected() as (rpc, daemon):
        calls = [rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, n) for n in range(200)]
        assert [(await call.wait()).reason for call in calls] == list(range(200))
        assert daemon.most_in_flight <= 4
        assert is_idle(rpc)


async def test_hundred_tasks_call_at_once() -> None:
    """Each gets its own answer."""
    async with connected() as (rpc, _):
        got: dict[int, int] = {}

        async def ask(n: int) -> None:
            got[n] = (await rpc.call(Proc.DOMAIN_GET_STATE, DOMAIN, n)).reason

        async with anyio.create_task_group() as group:
            for n in range(100):
                group.start_soon(ask, n)
        assert got == {n: n for n in range(100)}


async def test_submitted_calls_go_out_at_the_next_await_without_being_waited_for() -> None:
    """Nothing is written before that, so that they share a write."""
    async with connected() as (rpc, daemon):
        before = len(daemon.calls)
        calls = [rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, n) for n in range(3)]
        assert [call.asked for call in calls] == [-1, -1, -1]
        assert repr(calls[0]) == f"<Call domain_get_state {calls[0].serial}: queued>"
        await daemon.until(lambda: len(daemon.calls) == before + 3)
        await daemon.until(lambda: daemon.in_flight == 0)
        with pytest.raises(LocalProtocolError, match="not answered"):
            Call.result(rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0))
        assert [(await call.wait()).reason for call in calls] == [0, 1, 2]


async def test_urgent_calls_overtake_and_keys_go_one_at_a_time() -> None:
    """By default as urgent as the server treats them."""
    async with connected(prepare=hold, settings=Settings(window=2)) as (rpc, daemon):
        for _ in range(3):
            rpc.submit(SLOW, DOMAIN, 0, key="d1")
        low = rpc.submit(SLOW, DOMAIN, 1)
        rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0, priority=Priority.NORMAL)
        high = rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0)
        await high.wait()
        await daemon.until(lambda: len(daemon.held) == 2)
        assert daemon.names()[-3:] == ["domain_get_state", "domain_get_xml_desc", "domain_get_xml_desc"]
        assert daemon.held[1].serial == low.serial


async def test_too_many_queued_calls_are_refused() -> None:
    """A bound, and an error that says so."""
    async with connected(settings=Settings(max_queued=3)) as (rpc, _):
        calls = [rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0) for _ in range(3)]
        with pytest.raises(Busy):
            rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0)
        for call in calls:
            await call.wait()
        await works(rpc)


# ---------------------------------------------------------------- cancelled


async def cancel_at_every_checkpoint(
    operation: Callable[[], Awaitable[object]], after: Callable[[], Awaitable[None]]
) -> int:
    """Cancel after 0, 1, 2, … turns of the loop, until the operation is through; look at the connection each time."""
    for turns in range(200):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel_later(turns: int = turns, scope: anyio.CancelScope = scope) -> None:
                    for _ in range(turns):
                        await checkpoint()
                    scope.cancel()

                group.start_soon(cancel_later)
                await operation()
                group.cancel_scope.cancel()
        await after()
        if not scope.cancelled_caught:
            return turns
    raise AssertionError("never came through")


async def test_call_cancelled_at_every_checkpoint_leaves_the_connection_usable() -> None:
    """Queued, sent, answered: no call hangs, no frame is torn."""
    async with connected() as (rpc, daemon):

        async def after() -> None:
            await works(rpc)
            await daemon.until(lambda: daemon.in_flight == 0)

        assert await cancel_at_every_checkpoint(lambda: get_state(rpc), after) > 0
        await cancel_at_every_checkpoint(lambda: rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0).wait(), after)
        await rpc.call(Proc.DOMAIN_GET_STATE, DOMAIN, 0)
        assert is_idle(rpc)


async def test_cancelled_call_that_was_not_sent_never_is() -> None:
    """It leaves no trace."""
    async with connected(prepare=hold, settings=Settings(window=1)) as (rpc, daemon):
        first = rpc.submit(SLOW, DOMAIN, 0)
        rpc.flush()
        with anyio.move_on_after(0):
            await rpc.call(Proc.CONNECT_GET_TYPE)
        await daemon.until(lambda: len(daemon.held) == 1)
        daemon.reply(daemon.held[0], "x")
        assert await first.wait() == "x"
        await works(rpc)
        assert "connect_get_type" not in daemon.names()


async def test_cancelled_calls_late_reply_is_dropped() -> None:
    """It finds a tombstone, which held a slot until then."""
    async with connected(prepare=hold) as (rpc, daemon):
        async with anyio.create_task_group() as group:
            group.start_soon(rpc.call, SLOW, DOMAIN, 0)
            await daemon.until(lambda: len(daemon.held) == 1)
            group.cancel_scope.cancel()
        assert rpc.statistics.in_flight == 1
        assert rpc.awaited == 0
        await works(rpc)
        daemon.reply(daemon.held[0], "late")
        await works(rpc)
        assert rpc.statistics.late == 1
        assert is_idle(rpc)


async def test_call_given_up_can_not_be_waited_for_again() -> None:
    """It would wait for ever."""
    async with connected(prepare=hold) as (rpc, _):
        call = rpc.submit(SLOW, DOMAIN, 0)
        with anyio.move_on_after(0):
            await call.wait()
        with pytest.raises(LocalProtocolError, match="given up"):
            await call.wait()


# ---------------------------------------------------------------- deadlines


async def test_overdue_call_says_how_far_it_came() -> None:
    """Sent or queued; the connection lives on."""
    async with connected(prepare=hold, settings=Settings(window=1)) as (rpc, daemon):
        sent = rpc.submit(SLOW, DOMAIN, 0, timeout=0.05)
        queued = rpc.submit(SLOW, DOMAIN, 1, timeout=0.01)
        with pytest.raises(OperationTimeout, match="no free slot") as caught:
            await queued.wait()
        assert caught.value.phase is Phase.QUEUED
        with pytest.raises(OperationTimeout, match="no answer") as caught:
            await sent.wait()
        assert caught.value.phase is Phase.SENT
        assert caught.value.verb == "domain_get_xml_desc"
        # its slot was written off
        await works(rpc)
        daemon.reply(daemon.held[0], "late")
        await works(rpc)
        assert rpc.statistics.abandoned == 0


async def test_three_abandoned_calls_clog_the_connection_until_they_are_answered() -> None:
    """The owner replaces it."""
    async with connected(prepare=hold) as (rpc, daemon):
        calls = [rpc.submit(SLOW, DOMAIN, 0, timeout=0.01) for _ in range(ABANDONED_LIMIT)]
        assert not is_clogged(rpc)
        for call in calls:
            with pytest.raises(OperationTimeout):
                await call.wait()
        assert is_clogged(rpc)
        await works(rpc)
        for message in daemon.held:
            daemon.reply(message, "late")
        await works(rpc)
        assert not is_clogged(rpc)
        assert rpc.statistics.late == 3


async def test_deadlines_wake_the_timer_only_when_they_are_earlier() -> None:
    """Whatever the order they come in."""
    async with connected(prepare=hold) as (rpc, _):
        late = rpc.submit(SLOW, DOMAIN, 0, timeout=600)
        early = rpc.submit(SLOW, DOMAIN, 0, timeout=0.01)
        never = rpc.submit(SLOW, DOMAIN, 0, timeout=None)
        with pytest.raises(OperationTimeout):
            await early.wait()
        assert rpc.awaited == 2
        del late, never


# ---------------------------------------------------------------- events, order, asked


async def test_events_and_replies_come_in_order_and_are_counted() -> None:
    """From a frame to on_events there is no await; an event is never taken for the reply with its serial."""
    seen: list[tuple[int, int]] = []

    def on_events(arrivals: Sequence[Arrival]) -> None:
        seen.extend((message.procedure, count) for message, count in arrivals)

    async with connected(prepare=hold, on_events=on_events) as (rpc, daemon):
        before = rpc.inbound
        call = rpc.submit(SLOW, DOMAIN, 0)
        await daemon.until(lambda: len(daemon.held) == 1)
        frames = daemon.event_frame(serial=call.serial) + daemon.reply_frame(daemon.held[0], "x")
        daemon.raw(frames + daemon.event_frame())
        assert await call.wait() == "x"
        event = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE.number
        assert seen == [(event, before + 1), (event, before + 3)]
        assert call.asked == before


async def test_asked_is_the_count_when_the_bytes_were_written() -> None:
    """Later than submitted, for a call that waited for the window."""
    async with connected(prepare=hold, settings=Settings(window=1)) as (rpc, daemon):
        before = rpc.inbound
        first, second = (
            rpc.submit(SLOW, DOMAIN, 0),
            rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0, priority=Priority.NORMAL),
        )
        await daemon.until(lambda: len(daemon.held) == 1)
        daemon.raw(daemon.event_frame())
        daemon.reply(daemon.held[0], "x")
        await second.wait()
        assert (first.asked, second.asked) == (before, before + 2)


async def test_bug_in_on_events_is_one_internal_error() -> None:
    """Not an exception group, and nobody goes on waiting."""

    def on_events(arrivals: Sequence[Arrival]) -> None:
        raise KeyError("bug")

    async def use() -> None:
        async with connected(prepare=hold, on_events=on_events) as (rpc, daemon):
            daemon.raw(daemon.event_frame())
            await rpc.call(SLOW, DOMAIN, 0)

    with pytest.raises(InternalError, match="bug") as caught:
        await use()
    assert isinstance(caught.value.__cause__, KeyError)


# ---------------------------------------------------------------- keepalive


async def test_pings_are_answered_ahead_of_queued_calls() -> None:
    """With the window full and more waiting."""
    async with connected(prepare=hold) as (rpc, daemon):
        calls = [rpc.submit(SLOW, DOMAIN, 0) for _ in range(6)]
        await daemon.until(lambda: len(daemon.held) == 4)
        daemon.ping()
        await daemon.until(lambda: daemon.pongs() == 1)
        assert len(daemon.held) == 4
        assert rpc.awaited == len(calls)


async def test_silent_daemon_is_found_and_everyone_told() -> None:
    """A half-open connection: pings are not answered. Calls that were sent may have had an effect."""
    settings = Settings(ping_interval=0.01, ping_count=1)
    async with connected(settings=settings, prepare=hold) as (rpc, daemon):
        call = rpc.submit(SLOW, DOMAIN, 0, timeout=None)
        daemon.is_mute = True
        with pytest.raises(ConnectionLost, match="not answered") as caught:
            await call.wait()
        assert caught.value.outcome is Outcomes.UNKNOWN
        assert rpc.lost is await rpc.wait_closed()


async def test_daemon_that_answers_pings_is_kept() -> None:
    """However slow its calls are."""
    async with connected(settings=Settings(ping_interval=0.005, ping_count=50), prepare=hold) as (rpc, daemon):
        rpc.submit(SLOW, DOMAIN, 0, timeout=None)
        await daemon.until(lambda: len(daemon.others) >= 5)
        await works(rpc)


async def test_ping_that_is_due_when_the_connection_ends_is_not_sent() -> None:
    """The end is told as what it is, not as a failed ping."""
    async with connected(settings=Settings(ping_interval=1e-9, ping_count=100_000)) as (rpc, _):
        await works(rpc)
        rpc.close(ConnectionLost("the end"))
        for _ in range(2):  # the first look sees that messages came, by the second one a ping is due
            await rpc.keep_time()
        assert "the end" in str(await rpc.wait_closed())


async def test_full_window_excuses_silence_while_the_calls_deadlines_decide() -> None:
    """The server reads no ping then (libvirt-wire §3)."""
    settings = Settings(ping_interval=0.1, ping_count=1, window=2)
    async with connected(settings=settings, prepare=hold) as (rpc, daemon):
        calls = [rpc.submit(SLOW, DOMAIN, 0, timeout=0.25) for _ in range(2)]
        daemon.is_mute = True
        for call in calls:
            with pytest.raises(OperationTimeout):
                await call.wait()
        assert rpc.lost is None


async def test_full_window_of_a_dead_peer_is_lost_in_the_end() -> None:
    """Calls without a deadline would wait for ever."""
    settings = Settings(ping_interval=0.05, ping_count=1, window=2)
    async with connected(settings=settings, prepare=hold) as (rpc, daemon):
        calls = [rpc.submit(SLOW, DOMAIN, 0, timeout=None) for _ in range(2)]
        daemon.is_mute = True
        with anyio.fail_after(10):
            for call in calls:
                with pytest.raises(ConnectionLost, match="has not answered"):
                    await call.wait()


async def test_daemon_without_keepalive_is_never_pinged() -> None:
    """It refuses the feature, or does not know the question."""
    for answer in (0, complaint(3, "no")):

        def prepare(daemon: FakeDaemon, answer: object = answer) -> None:
            hold(daemon)
            daemon.handlers[Proc.CONNECT_SUPPORTS_FEATURE] = lambda feature: answer

        async with connected(settings=Settings(ping_interval=0.001, ping_count=0), prepare=prepare) as (rpc, daemon):
            with pytest.raises(OperationTimeout):
                await rpc.call(SLOW, DOMAIN, 0, timeout=0.05)
            assert daemon.others == []


# ---------------------------------------------------------------- the end


async def test_daemon_that_dies_tells_what_was_sent_and_what_not() -> None:
    """UNKNOWN and NOT_SENT; later calls fail at once."""
    async with connected(prepare=hold, settings=Settings(window=1)) as (rpc, daemon):
        sent, queued = rpc.submit(SLOW, DOMAIN, 0), rpc.submit(SLOW, DOMAIN, 1)
        await daemon.until(lambda: len(daemon.held) == 1)
        daemon.transport.close()
        for call, outcome in ((sent, Outcomes.UNKNOWN), (queued, Outcomes.NOT_SENT)):
            with pytest.raises(ConnectionLost) as caught:
                await call.wait()
            assert caught.value.outcome is outcome
            assert caught.value.verb == "domain_get_xml_desc"
        with pytest.raises(ConnectionLost) as caught:
            await get_state(rpc)
        assert caught.value.outcome is Outcomes.NOT_SENT
        rpc.flush()
        rpc.close()


async def test_daemon_that_dies_within_a_message_is_a_lost_connection() -> None:
    """Every prefix of a frame."""
    for cut in (1, 3, 4, 27, 28, 30):
        async with connected(prepare=hold) as (rpc, daemon):
            call = rpc.submit(SLOW, DOMAIN, 0)
            await daemon.until(lambda daemon=daemon: len(daemon.held) == 1)  # type: ignore[misc]
            daemon.raw(daemon.reply_frame(daemon.held[0], "x")[:cut])
            daemon.transport.close()
            with pytest.raises(ConnectionLost, match="in the middle of a message"):
                await call.wait()


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n", b'{"QMP": {}}', b"\0\0\0\x03", b"\x7f\xff\xff\xff"])
async def test_junk_ends_the_connection(junk: bytes) -> None:
    """Nothing behind it could be trusted."""
    async with connected(prepare=hold) as (rpc, daemon):
        call = rpc.submit(SLOW, DOMAIN, 0)
        daemon.raw(junk)
        with pytest.raises(ConnectionLost, match="does not speak"):
            await call.wait()
        assert isinstance(rpc.lost, RemoteProtocolError)


@pytest.mark.parametrize("change", [{"serial": 77}, {"procedure": 6}, {"program": 0x20008087}])
async def test_reply_to_nothing_ends_the_connection(change: dict[str, int]) -> None:
    """As the reference client does; a second reply as well."""
    async with connected(prepare=hold) as (rpc, daemon):
        call = rpc.submit(SLOW, DOMAIN, 0)
        await daemon.until(lambda: len(daemon.held) == 1)
        asked = daemon.held[0]
        daemon.send(msgspec.structs.replace(asked, type=MessageType.REPLY, payload=b"", **change))
        with pytest.raises(ConnectionLost, match="a reply"):
            await call.wait()


async def test_wait_closed_returns_to_all_who_wait_and_may_be_cancelled() -> None:
    """Why it ended."""
    async with connected() as (rpc, daemon):
        with anyio.move_on_after(0):
            await rpc.wait_closed()
        async with anyio.create_task_group() as group:
            group.start_soon(rpc.wait_closed)
            group.start_soon(rpc.wait_closed)
            await checkpoint()
            daemon.transport.close()
        assert isinstance(await rpc.wait_closed(), ConnectionLost)


async def test_read_only_connection_refuses_here_what_the_server_would() -> None:
    """Before anything is sent."""
    async with connected() as (rpc, daemon):
        rpc.read_only = True
        before = len(daemon.calls)
        with pytest.raises(AccessDenied, match="read-only"):
            await rpc.call(Proc.DOMAIN_DESTROY, DOMAIN)
        assert len(daemon.calls) == before
        await works(rpc)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_forked_child_may_not_use_the_connection() -> None:
    """Two processes on one socket would tear each other's frames."""
    async with connected() as (rpc, _):
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                rpc.submit(Proc.DOMAIN_GET_STATE, DOMAIN, 0)
            except LocalProtocolError:
                os._exit(7)
            os._exit(1)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  it ends at once
        assert os.waitstatus_to_exitcode(status) == 7
        await works(rpc)


async def test_calls_a_daemon_does_not_read_can_be_withdrawn() -> None:
    """What is not written yet stays in the queue: NOT_SENT is the truth."""
    async with connected(settings=Settings(window=100)) as (rpc, daemon):
        big = "x" * 1_000_000
        daemon.handlers[Proc.DOMAIN_DEFINE_XML] = lambda xml: DOMAIN
        written = [rpc.submit(Proc.DOMAIN_DEFINE_XML, big) for _ in range(4)]
        rpc.flush()
        assert rpc.statistics.buffered > 0
        with anyio.move_on_after(0):
            await rpc.call(Proc.CONNECT_GET_TYPE)
        assert [await call.wait() for call in written] == [DOMAIN] * 4
        await works(rpc)
        assert "connect_get_type" not in daemon.names()


# ---------------------------------------------------------------- descriptors


def pipe_ends() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


async def test_descriptors_travel_both_ways() -> None:
    """Those that come are the caller's, not inheritable; those given stay his."""
    async with connected(prepare=hold) as (rpc, daemon):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            daemon.handlers[Proc.DOMAIN_OPEN_GRAPHICS] = lambda dom, idx, flags: None
            await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS, DOMAIN, 0, 0, fds=[theirs.fileno()])
            assert daemon.calls[-1].type is MessageType.CALL_WITH_FDS
            assert len(daemon.calls[-1].fds) == 1

            daemon.handlers[Proc.DOMAIN_OPEN_GRAPHICS_FD] = lambda dom, idx, flags: HOLD
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    _, fds = await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS_FD, DOMAIN, 0, 0)
                    assert len(fds) == 1
                    assert not os.get_inheritable(fds[0])
                    with socket.socket(fileno=fds[0]) as got:
                        got.send(b"hi")

                group.start_soon(ask)
                await daemon.until(lambda: len(daemon.held) == 1)
                daemon.reply_with_fds(daemon.held[0], None, [theirs.fileno()])
            assert ours.recv(2) == b"hi"
        await works(rpc)


async def test_several_calls_with_descriptors_written_together_stay_whole() -> None:
    """The bytes that carry descriptors follow their own message."""
    async with connected(settings=Settings(window=6), prepare=hold) as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_OPEN_GRAPHICS] = lambda dom, idx, flags: None
        held = [rpc.submit(SLOW, DOMAIN, 0) for _ in range(6)]
        await daemon.until(lambda: len(daemon.held) == 6)
        async with anyio.create_task_group() as group:
            for count in range(4):
                group.start_soon(
                    lambda count=count: rpc.call_with_fds(  # type: ignore[misc]
                        Proc.DOMAIN_OPEN_GRAPHICS, DOMAIN, count, 0, fds=[0] * count
                    )
                )
            group.start_soon(get_state, rpc)
            await checkpoint()
            daemon.raw(b"".join(daemon.reply_frame(call, "x") for call in daemon.held))
        for call in held:
            assert await call.wait() == "x"
        came = [call for call in daemon.calls if call.procedure == Proc.DOMAIN_OPEN_GRAPHICS.number]
        assert sorted(len(call.fds) for call in came) == [0, 1, 2, 3]
        await works(rpc)


@pytest.mark.parametrize("how", ["cancelled", "overdue", "not asked for", "undecodable", "event"])
async def test_descriptors_that_nobody_claims_are_closed(how: str) -> None:
    """Late, unexpected, or with an answer that can't be used."""
    async with connected(prepare=hold) as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_OPEN_GRAPHICS_FD] = lambda dom, idx, flags: HOLD
        before = pipe_ends()
        scope = anyio.CancelScope()
        overdue = anyio.Event()

        async def ask() -> None:
            with scope:
                if how == "not asked for":
                    await rpc.call(Proc.DOMAIN_OPEN_GRAPHICS_FD, DOMAIN, 0, 0)
                elif how == "undecodable":
                    with pytest.raises(RemoteProtocolError):
                        await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS_FD, DOMAIN, 0, 0)
                elif how == "overdue":
                    with pytest.raises(OperationTimeout):
                        await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS_FD, DOMAIN, 0, 0, timeout=0.01)
                    overdue.set()
                else:
                    await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS_FD, DOMAIN, 0, 0)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await daemon.until(lambda: len(daemon.held) == 1)
            asked = daemon.held[0]
            if how in ("cancelled", "event"):
                scope.cancel()
            if how == "overdue":
                await overdue.wait()
            payload = b"junk" if how == "undecodable" else b""
            message = Message(
                asked.program, asked.procedure, MessageType.REPLY_WITH_FDS, asked.serial, payload=payload, fds=(0,)
            )
            daemon.send(message, [0])
        await works(rpc)
        assert pipe_ends() == before


# ---------------------------------------------------------------- streams


class Packets:
    """What a stream's callback got."""

    def __init__(self) -> None:
        self.got: list[bytes | None] = []
        self.statuses: list[MessageStatus] = []

    def __call__(self, message: Message | None) -> None:
        self.got.append(message if message is None else message.payload)
        if message is not None:
            self.statuses.append(message.status)


def hold_stream(daemon: FakeDaemon) -> None:
    daemon.handlers[Proc.DOMAIN_SCREENSHOT] = lambda dom, screen, flags: HOLD


def shoot(rpc: Rpc, packets: Packets, **options: Any) -> Call[str | None]:
    return rpc.submit_stream(Proc.DOMAIN_SCREENSHOT, DOMAIN, 0, 0, on_stream=packets, **options)


async def test_stream_data_that_comes_with_the_reply_is_not_lost() -> None:
    """It may even come in the same segment (libvirt-wire §8); the serial stays in use until the end."""
    async with connected(prepare=hold_stream) as (rpc, daemon):
        packets = Packets()
        call = shoot(rpc, packets)
        await daemon.until(lambda: len(daemon.held) == 1)
        asked = daemon.held[0]
        daemon.reply(asked, "image/png")
        daemon.stream(asked, b"abc")
        daemon.stream(asked, b"")
        assert await call.wait() == "image/png"
        await works(rpc)
        assert packets.got == [b"abc", b""]
        assert not is_idle(rpc)
        rpc.finish_stream(call)
        await daemon.until(lambda: len(daemon.others) == 1)
        daemon.stream(asked, b"", MessageStatus.OK)
        await works(rpc)
        assert packets.statuses[-1] is MessageStatus.OK
        rpc.end_stream(call)
        assert is_idle(rpc)
        daemon.stream(asked, b"late")
        await works(rpc)
        assert len(packets.got) == 3


async def test_stream_is_written_in_packets() -> None:
    """And finished."""
    async with connected() as (rpc, daemon):
        daemon.handlers[Proc.STORAGE_VOL_UPLOAD] = lambda vol, offset, length, flags: None
        volume = RemoteStorageVol("pool", "vol", "key")
        call = rpc.submit_stream(Proc.STORAGE_VOL_UPLOAD, volume, 0, 0, 0, on_stream=Packets())
        await call.wait()
        await rpc.send_stream(call, b"data")
        rpc.finish_stream(call)
        await daemon.until(lambda: len(daemon.others) == 2)
        assert [(m.payload, m.status) for m in daemon.others] == [
            (b"data", MessageStatus.CONTINUE),
            (b"", MessageStatus.OK),
        ]
        rpc.end_stream(call)
        rpc.finish_stream(call)


async def test_stream_whose_opening_fails_is_forgotten() -> None:
    """An error reply; a call that opens none; a deadline before it was sent."""
    async with connected(prepare=hold_stream, settings=Settings(window=1)) as (rpc, daemon):
        packets = Packets()
        with pytest.raises(LocalProtocolError, match="opens no stream"):
            rpc.submit_stream(Proc.DOMAIN_GET_STATE, DOMAIN, 0, on_stream=packets)
        first = shoot(rpc, packets)
        queued = shoot(rpc, packets, timeout=0.01)
        with pytest.raises(OperationTimeout):
            await queued.wait()
        again = shoot(rpc, packets)
        with anyio.move_on_after(0):
            await again.wait()
        await daemon.until(lambda: len(daemon.held) == 1)
        daemon.reply(daemon.held[0], complaint())
        with pytest.raises(NotFound):
            await first.wait()
        assert is_idle(rpc)
        assert packets.got == []


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("how", ["cancelled", "overdue"])
async def test_stream_nobody_waits_for_any_more_is_aborted(how: str, opened: bool) -> None:
    """When the late reply shows that it was opened; its data is dropped until the abort is confirmed."""
    async with connected(prepare=hold_stream) as (rpc, daemon):
        packets = Packets()
        call = shoot(rpc, packets, timeout=0.02 if how == "overdue" else None)
        await daemon.until(lambda: len(daemon.held) == 1)
        if how == "overdue":
            with pytest.raises(OperationTimeout):
                await call.wait()
        else:
            with anyio.move_on_after(0):
                await call.wait()
        asked = daemon.held[0]
        if opened:
            daemon.reply(asked, "image/png")
            daemon.stream(asked, b"data")
            await daemon.until(lambda: len(daemon.others) == 1)
            assert daemon.others[0].status is MessageStatus.ERROR
            daemon.stream(asked, b"data")
            daemon.stream(asked, b"", MessageStatus.OK)
        else:
            daemon.reply(asked, complaint())
        await works(rpc)
        assert packets.got == []
        assert is_idle(rpc)


async def test_stream_cancelled_at_every_checkpoint_leaves_no_stream_behind() -> None:
    """Also when the reply is there already."""
    async with connected() as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_SCREENSHOT] = lambda dom, screen, flags: "image/png"

        async def once() -> None:
            call = shoot(rpc, Packets())
            await call.wait()
            rpc.finish_stream(call)
            rpc.end_stream(call)

        async def after() -> None:
            await works(rpc)
            for message in daemon.others:
                daemon.send(
                    Message(message.program, message.procedure, MessageType.STREAM, message.serial, MessageStatus.OK)
                )
            daemon.others.clear()
            await works(rpc)
            assert is_idle(rpc)

        await cancel_at_every_checkpoint(once, after)


async def test_streams_are_told_of_the_connections_end() -> None:
    """By None; writing raises."""
    async with connected(prepare=hold_stream) as (rpc, daemon):
        packets = Packets()
        call = shoot(rpc, packets)
        await daemon.until(lambda: len(daemon.held) == 1)
        daemon.transport.close()
        with pytest.raises(ConnectionLost):
            await call.wait()
        assert packets.got == [None]
        rpc.finish_stream(call)
        with pytest.raises(ConnectionLost):
            await rpc.send_stream(call, b"x")
