"""The life of a link: registration, heartbeats, supervision, reconnect."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio import SmartBusClient
from smartbus.errors import (
    AccessDeniedError,
    ArgumentError,
    ClientIdError,
    ClientTypeError,
    NotConnectedError,
    NotInitializedError,
    PasswordError,
    SmartBusTimeoutError,
    UnitIdError,
    UserError,
)
from smartbus.testing import wait_until_async as until
from smartbus.wire import Heartbeat, RegistrationAck
from tests.aio.peers import CLIENT, GOLDEN, QUICK, Events, Server, client_of, soon

if TYPE_CHECKING:
    from smartbus.wire import Frame

ALICE: dict[str, Any] = {"user": "alice", "password": "secret", "info": "info!"}


# --- registration -----------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["2015", "2018"])
async def test_registers_byte_for_byte_as_the_vendor(server: Server, wire: Any) -> None:
    client = client_of(server, wire=wire, **ALICE)
    await client.start()
    peer = await server.peer()
    golden = GOLDEN["registration_request" if wire == "2015" else "registration_request_2018"]
    raw = bytearray(await soon(peer.reader.readexactly(len(golden))))
    if wire == "2018":
        assert int.from_bytes(raw[233:241], "little") == os.getpid()
        raw[233:241] = bytes(8)
    assert raw.hex() == golden.hex()
    await client.close()
    await peer.ended()


@pytest.mark.parametrize("ack", ["registration_ack_ok", "registration_ack_minimal"])
async def test_connects_with_the_golden_ack(server: Server, ack: str) -> None:
    client = client_of(server, **ALICE)
    events = Events(client)
    await client.start()
    peer = await server.peer()
    await peer.registration()
    assert events.log == []
    peer.send(GOLDEN[ack])
    await soon(client.wait_connected())
    assert client.connected
    assert client.access_point == 1
    assert client.wire == "2018"
    assert events.log == ["connect"]
    await client.close()
    assert events.log == ["connect"]  # closing oneself is no event
    await peer.ended()


async def test_context_manager_waits_until_connected(server: Server) -> None:
    async def serve() -> None:
        peer = await server.accepted()
        await peer.ended()

    serving = asyncio.create_task(serve())
    async with client_of(server) as client:
        assert client.connected
    await soon(serving)


async def test_context_manager_gives_up_in_time(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, connect=0.05))
    with pytest.raises(SmartBusTimeoutError):
        await client.__aenter__()
    with pytest.raises(NotInitializedError):
        await client.start()


@pytest.mark.parametrize(
    ("code", "error"),
    [(-4, AccessDeniedError), (-12, UnitIdError), (-99, Exception), (5, Exception)],
)
async def test_a_refusal_is_final(server: Server, code: int, error: type[Exception]) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    peer = await server.accepted(code)
    await peer.ended()
    with pytest.raises(error) as caught:
        await soon(client.wait_connected())
    assert getattr(caught.value, "code") == code  # noqa: B009
    await events.reach(code)
    with pytest.raises(NotConnectedError):
        client.send_data(1, 3, 20, 4, 5, b"")
    assert server.connections == 1
    await client.close()


async def test_a_refused_client_can_start_again(server: Server) -> None:
    client = client_of(server)
    await client.start()
    await server.accepted(-4)
    with pytest.raises(AccessDeniedError):
        await soon(client.wait_connected())
    await client.start()
    await server.accepted()
    await soon(client.wait_connected())
    await client.close()


async def test_already_connected_is_tried_again(server: Server) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    await server.accepted(-10)
    await server.accepted(-10)
    await server.accepted()
    await soon(client.wait_connected())
    assert events.log == [-10, -10, "connect"]
    await client.close()


async def test_thrown_out_for_good(server: Server) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    peer.send(RegistrationAck(-24).encode(1, CLIENT))
    await peer.ended()
    await events.reach("connect", "disconnect", -24)
    assert server.connections == 1
    await client.close()


# --- the two wire forms -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [-5, -6])
async def test_falls_back_to_2015_and_remembers(server: Server, code: int) -> None:
    client = client_of(server, **ALICE)
    events = Events(client)
    await client.start()
    peer = await server.peer()
    assert (await peer.accept(code)).form == "2018"
    peer = await server.peer()
    request = await peer.accept()
    assert (request.form, request.user, request.version, request.pid) == ("2015", b"alice", b"", 0)
    await soon(client.wait_connected())
    assert client.wire == "2015"
    beat = await peer.heartbeat()
    assert len(beat.data) == 32
    peer.close()
    peer = await server.peer()
    assert (await peer.accept()).form == "2015"
    await events.reach("connect", "disconnect", "connect")
    await client.close()


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [(-5, -5, UserError), (-5, -6, PasswordError), (-6, -5, PasswordError)],
)
async def test_refused_in_both_forms(
    server: Server, first: int, second: int, error: type[Exception]
) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    await server.accepted(first)
    await server.accepted(second)
    with pytest.raises(error):
        await soon(client.wait_connected())
    assert len(events.log) == 1
    assert server.connections == 2
    await client.close()


@pytest.mark.parametrize("wire", ["2015", "2018"])
async def test_a_fixed_form_does_not_fall_back(server: Server, wire: Any) -> None:
    client = client_of(server, wire=wire)
    await client.start()
    await server.accepted(-5)
    with pytest.raises(UserError):
        await soon(client.wait_connected())
    assert server.connections == 1
    await client.close()


async def test_closed_without_an_answer(server: Server) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    forms = []
    for _ in range(3):
        peer = await server.peer()
        forms.append((await peer.registration()).form)
        peer.close()
    assert forms == ["2018", "2015", "2018"]
    peer = await server.peer()
    assert (await peer.accept()).form == "2015"
    await soon(client.wait_connected())
    assert events.log == ["connect"]
    await client.close()


async def test_unanswered_links_are_no_tight_loop(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, unanswered=0.2))
    await client.start()
    begin = time.monotonic()
    for _ in range(3):
        peer = await server.peer()
        peer.reset()
    # At least one delay lies between any two; more time may have passed.
    assert time.monotonic() - begin >= 0.35
    await client.close()


# --- heartbeat and supervision ----------------------------------------------------------------


async def test_heartbeats_begin_before_the_ack(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.peer()
    await peer.registration()
    for number in range(2):
        beat = await peer.heartbeat()
        assert beat.src == CLIENT
        assert beat.dst == (255, 255, 1)
        body = Heartbeat.decode(beat.data)
        assert (body.number, body.form) == (number, "2018")
        assert abs(body.time_launch - time.time()) < 60
    peer.send(RegistrationAck(0).encode(1, CLIENT))
    await soon(client.wait_connected())

    async def to_server() -> Frame:
        while (beat := await peer.heartbeat()).dst.unit_id == 255:
            pass
        return beat

    assert (await soon(to_server())).dst == (1, 255, 1)
    await client.close()


async def test_counting_restarts_with_each_connection(server: Server) -> None:
    client = client_of(server)
    await client.start()
    for _ in range(2):
        peer = await server.accepted()
        assert Heartbeat.decode((await peer.heartbeat()).data).number == 0
        peer.close()
    await client.close()


async def test_silence_ends_the_link(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, silence=0.2))
    events = Events(client)
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    begin = time.monotonic()
    await peer.ended()
    assert time.monotonic() - begin >= 0.1
    await server.accepted()
    await events.reach("connect", "disconnect", "connect")
    await client.close()


async def test_any_byte_is_a_sign_of_life(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, silence=1.5))
    events = Events(client)
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    frame = GOLDEN["deliver_user_data"] * 1
    for at in range(len(frame)):  # for 2.6 s; one byte each time
        peer.send(frame[at : at + 1])
        await asyncio.sleep(0.1)
    assert events.log == ["connect"]
    assert client.connected
    got = await soon(client.receive())
    assert got is not None
    assert got.data == b"hello"
    await client.close()


async def test_a_server_that_never_answers_is_given_up(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, silence=0.2))
    await client.start()
    peer = await server.peer()
    assert (await peer.registration()).form == "2018"
    await peer.ended()
    peer = await server.peer()
    assert (await peer.accept()).form == "2015"
    await soon(client.wait_connected())
    await client.close()


# --- reconnect --------------------------------------------------------------------------------


async def test_reconnects_after_a_lost_link(server: Server) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    for _ in range(3):
        peer = await server.accepted()
        await soon(client.wait_connected())
        peer.reset()
        await until(lambda: not client.connected)
    await server.accepted()
    await events.reach(*["connect", "disconnect"] * 3, "connect")
    await client.close()


async def test_tells_the_last_access_point(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.peer()
    raw = await soon(peer.reader.readexactly(6053))
    assert raw[503:507] == b"\xff" * 4
    peer.send(RegistrationAck(0).encode(7, CLIENT))
    await soon(client.wait_connected())
    peer.close()
    peer = await server.peer()
    raw = await soon(peer.reader.readexactly(6053))
    assert raw[503:507] == b"\7\0\0\0"
    await client.close()


async def test_waits_for_a_server_that_is_not_there_yet() -> None:
    server = Server()
    await server.start()
    port = server.port
    await server.stop()
    client = client_of(server)
    events = Events(client)
    await client.start()
    await events.reach(-20)
    with pytest.raises(SmartBusTimeoutError):
        await client.wait_connected(0.2)
    assert events.log == [-20]  # told once
    async with Server(port) as server:
        await server.accepted()
        await soon(client.wait_connected())
        assert events.log == [-20, "connect"]
        await client.close()


@pytest.mark.parametrize("host", ["no such host", "x" * 300, "name.invalid"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    client = SmartBusClient(host, 8089, *CLIENT, timing=QUICK)
    events = Events(client)
    await client.start()
    await events.reach(-20)
    await client.close()


async def test_bad_bytes_end_the_link_after_the_good_ones(server: Server) -> None:
    client = client_of(server)
    events = Events(client)
    await client.start()
    peer = await server.accepted()
    peer.send(GOLDEN["deliver_user_data"], b"\0" * 20)
    await peer.ended()
    got = await soon(client.receive())
    assert got is not None
    assert got.data == b"hello"
    await server.accepted()
    await events.reach("connect", "disconnect", "connect")
    await client.close()


async def test_a_short_registration_ack_ends_the_link(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.peer()
    await peer.registration()
    ack = bytearray(GOLDEN["registration_ack_minimal"])
    ack[16] = 3
    peer.send(bytes(ack))
    await peer.ended()
    await client.close()


async def test_frames_before_the_ack_are_delivered(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.peer()
    await peer.registration()
    peer.send(GOLDEN["deliver_user_data"])
    got = await soon(client.receive())
    assert got is not None
    assert got.data == b"hello"
    assert not client.connected
    await client.close()


# --- construction and close -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("", 8089, 19, 3, 18), ArgumentError),
        (("127.0.0.1", 0, 19, 3, 18), ArgumentError),
        (("127.0.0.1", 65535, 19, 3, 18), ArgumentError),
        (("127.0.0.1", 8089, 48, 3, 18), UnitIdError),
        (("127.0.0.1", 8089, -1, 3, 18), UnitIdError),
        (("127.0.0.1", 8089, 19, 256, 18), ClientIdError),
        (("127.0.0.1", 8089, 19, 3, 1), ClientTypeError),
        (("127.0.0.1", 8089, 19, 3, 256), ClientTypeError),
    ],
)
def test_constructor_checks(args: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        SmartBusClient(*args)


def test_constructor_checks_the_wire_form() -> None:
    form: Any = "2016"
    with pytest.raises(ArgumentError):
        SmartBusClient("127.0.0.1", 8089, 19, 3, 18, wire=form)


async def test_close_before_start(server: Server) -> None:
    client = client_of(server)
    await client.close()
    await client.close()
    with pytest.raises(NotInitializedError):
        await client.start()


async def test_close_while_connecting(server: Server) -> None:
    client = client_of(server)
    await client.start()
    waiting = asyncio.create_task(client.wait_connected())
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    with pytest.raises(NotInitializedError):
        await soon(waiting)


async def test_close_while_waiting_for_the_ack(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.peer()
    await peer.registration()
    await client.close()
    await peer.ended()


async def test_close_while_waiting_for_the_next_attempt(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, unanswered=3600))
    await client.start()
    peer = await server.peer()
    peer.close()
    await peer.ended()
    await client.close()


async def test_closing_twice_at_once(server: Server) -> None:
    client = client_of(server)
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    await asyncio.gather(client.close(), client.close())
    await peer.ended()


async def test_a_cancelled_close_closes_all_the_same(server: Server) -> None:
    client = client_of(server, timing=replace(QUICK, linger=3600))
    await client.start()
    peer = await server.accepted()
    await soon(client.wait_connected())
    # Given a server that does not read, so that lingering takes for ever
    for _ in range(7):
        client.send_data(1, 3, 20, 4, 5, bytes(1 << 20))
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await client.close()
    await peer.ended()


async def test_cancelling_a_wait_harms_nobody(server: Server) -> None:
    client = client_of(server)
    await client.start()
    waiting = asyncio.create_task(client.wait_connected())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await server.accepted()
    await soon(client.wait_connected())
    await client.close()
