"""`Server`: callbacks, answers, bounds, and its end (DIP.md 1.4, W1, W7-W10, W13, W17)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.dip import Client, Server, errors, proto
from smartbus.testing import wait_until_async as until
from tests.dip.peers import DEADLINE, HELLO, ROOT, Received, message, raw_client, soon

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = b"ValueError('boom')"


def fail(*_: object) -> None:
    raise ValueError("boom")


def exists(path: str) -> bool:
    return os.path.exists(path)


def memory() -> int:
    """The most memory that this process has had (bytes)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


# ---- answers ------------------------------------------------------------------------------


async def test_one_answer_for_each_frame(received: Received, path: str) -> None:
    async with raw_client(path) as peer:
        peer.send(HELLO + message("J", b"1") + message("O", b"") + message("U", b""))
        assert await peer.read(8) == b"okokokok"
        for byte in message("J", b"[2, 3]"):
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await peer.read(2) == b"ok"
    name = uuid.UUID(bytes=HELLO[5:])
    assert received.calls == [(name, "J", 1), (name, "O", ""), (name, "U", []), (name, "J", [2, 3])]


async def test_the_id_is_none_before_it_is_set(received: Received, path: str) -> None:
    async with raw_client(path) as peer:
        peer.send(message("J", b"1"))
        assert await peer.read(2) == b"ok"
    assert received.calls == [(None, "J", 1)]


async def test_w1_empty_bodies(received: Received, client: Client) -> None:
    await client.send_msg("O", "")
    await client.send_msg("U", [])
    await client.send_msg("D", {})
    assert received.data == ["", [], {}]


async def test_a_bad_body_does_not_end_the_connection(received: Received, path: str) -> None:
    async with raw_client(path) as peer:
        for bad in (message("O", b"\xff"), message("Z", b""), message("\x1d", b"short")):
            peer.send(bad)
            answer = await soon(peer.reader.read(4096))
            assert answer.endswith(b")")
            assert answer != b"ok"
        peer.send(message("J", b"1"))
        assert await peer.read(2) == b"ok"
    assert received.data == [1]


async def test_a_callback_that_fails(path: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(path, fail)
    await server.start()
    async with raw_client(path) as peer:
        peer.send(message("J", b'"secret"'))
        assert await peer.read(len(FAILED)) == FAILED
        peer.send(message("J", b"2"))
        assert await peer.read(len(FAILED)) == FAILED
    await end(server)
    logged = [record for record in caplog.records if record.name == "smartbus.dip"]
    assert [record.levelno for record in logged].count(logging.ERROR) == 2
    assert "secret" not in caplog.text


class Strange(Exception):
    text = ""

    def __repr__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    "text",
    ["", "ok", "okay", "x" * 100_000, "文" * 50_000, "\ud800"],
    ids=["empty", "ok", "okay", "long", "cut in a character", "surrogate"],
)
async def test_an_answer_is_never_mistaken(path: str, text: str) -> None:
    def callback(*_: object) -> None:
        exc = Strange()
        exc.text = text
        raise exc

    server = Server(path, callback)
    await server.start()
    async with raw_client(path) as peer:
        peer.send(message("J", b"1"))
        peer.writer.write_eof()
        answer = await peer.rest()
    await end(server)
    assert 0 < len(answer) <= 4096
    assert not answer.startswith(b"ok")
    answer.decode()


async def test_without_a_callback_everything_is_taken(path: str) -> None:
    server = Server(path)
    await server.start()
    async with Client(path) as client:
        await client.send_json(1)
    await end(server)


# ---- callbacks ----------------------------------------------------------------------------


async def end(server: Server) -> None:
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_callbacks_for_types(path: str) -> None:
    other = Received()
    server = Server(path, other)
    texts, lists = Received(), Received()
    server.on("O")(texts)

    @server.on(proto.TaskUpdateProto)
    async def got_list(*call: Any) -> None:
        lists(*call)

    assert got_list.__name__ == "got_list"
    with pytest.raises(ValueError, match="'O' has a callback already"):
        server.on(b"O")
    await server.start()
    async with Client(path) as client:
        await client.send_msg("O", "text")
        await client.send_msg("U", [1])
        await client.send_json(2)
    assert (texts.data, lists.data, other.data) == (["text"], [[1]], [2])
    await end(server)


async def test_w8_coroutines_are_awaited_in_order(path: str) -> None:
    done: list[int] = []
    gate = asyncio.Event()

    async def callback(_id: object, _mtype: str, data: int) -> None:
        if data == 0:
            await gate.wait()
        if data == 2:
            raise ValueError("boom")
        done.append(data)

    server = Server(path, callback)
    await server.start()
    async with raw_client(path) as peer, Client(path) as client:
        peer.send(b"".join(message("J", b"%d" % n) for n in range(4)))
        await client.send_json(10)  # another connection is not held up
        assert done == [10]
        gate.set()
        assert await peer.read(6 + len(FAILED)) == b"okok" + FAILED + b"ok"
    assert done == [10, 0, 1, 3]
    await end(server)


async def test_nothing_is_read_while_a_coroutine_runs(path: str) -> None:
    gate = asyncio.Event()
    count = 0

    async def callback(*_: object) -> None:
        nonlocal count
        await gate.wait()
        count += 1

    server = Server(path, callback)
    await server.start()
    async with raw_client(path) as peer:
        block = message("O", b"x" * 1000) * 1000
        peer.send(block * 30)
        before = memory()
        written = asyncio.create_task(soon(peer.writer.drain()))
        done, _ = await asyncio.wait((written,), timeout=0.3)
        assert not done  # it is the peer who waits
        assert memory() - before < 20_000_000
        gate.set()
        assert await peer.read(60_000) == b"ok" * 30_000
        await written
    assert count == 30_000
    await end(server)


async def test_a_callback_ends_although_its_peer_is_gone(path: str) -> None:
    gate = asyncio.Event()
    done: list[int] = []

    async def callback(_id: object, _mtype: str, data: int) -> None:
        await gate.wait()
        done.append(data)

    server = Server(path, callback)
    await server.start()
    async with raw_client(path) as peer:
        peer.send(message("J", b"1") + message("J", b"2"))
        await until(lambda: server.sessions == 1, DEADLINE)
    gate.set()
    await until(lambda: done == [1, 2], DEADLINE)
    await end(server)


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_callback_that_raises_cancelled_error(path: str, *, coroutine: bool) -> None:
    def sync(*_: object) -> None:
        raise asyncio.CancelledError("mine")

    async def awaited(*_: object) -> None:
        raise asyncio.CancelledError("mine")

    server = Server(path, awaited if coroutine else sync)
    await server.start()
    async with Client(path) as client:
        with pytest.raises(errors.ResponseError, match="CancelledError"):
            await client.send_json(1)
    await end(server)


# ---- bounds -------------------------------------------------------------------------------


async def test_w7_a_head_alone_takes_no_memory(received: Received, path: str) -> None:
    before = memory()
    async with raw_client(path) as peer:
        peer.send(message("J", b"1") + b"J\x40\0\0\0x")  # 1 GiB
        assert await peer.read(2) == b"ok"
    await until(lambda: not received.server.sessions, DEADLINE)
    assert memory() - before < 20_000_000


async def test_a_message_over_the_limit_is_refused(path: str) -> None:
    got = Received()
    server = Server(path, got, max_message_size=1000)
    await server.start()
    async with raw_client(path) as peer:
        for size in (1001, 100_000, 5_000_000):
            peer.send(message("O", b"x" * size))
            answer = await soon(peer.reader.read(4096))
            assert answer == b"ProtoDecodeError('A body of more than 1000 bytes is refused')"
        peer.send(message("O", b"x" * 1000))
        assert await peer.read(2) == b"ok"
    async with Client(path) as client:
        with pytest.raises(errors.ResponseError, match="more than 1000 bytes"):
            await client.send_msg("O", "x" * 2000)
        with pytest.raises(errors.ResponseError) as caught:
            await client.send_many("O", ["a", "x" * 2000, "b", "y" * 200_000, "c"])
        assert list(caught.value.failures) == [1, 3]
        await client.send_msg("O", "fits")
    assert got.data == ["x" * 1000, "a", "b", "c", "fits"]
    await end(server)


async def test_a_peer_that_does_not_read_is_not_read_from(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    got = Received()
    server = Server(path, got)
    await server.start()
    frames = message("D", b"") * 10_000
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        peer.connect(path)

        async def flood() -> None:
            while True:
                await loop.sock_sendall(peer, frames)

        flooding = asyncio.create_task(flood())
        await until(lambda: "does not read its answers" in caplog.text, DEADLINE)
        async with Client(path) as client:  # others are served
            await client.send_json("other")
        assert "other" in got.data
        flooding.cancel()
        await asyncio.wait((flooding,))
        answers = b""
        while b"ok" * 10_000 not in answers:
            answers += await soon(loop.sock_recv(peer, 1 << 20))
    await end(server)


async def test_too_many_connections(path: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(path, max_connections=2)
    await server.start()
    async with raw_client(path) as first, raw_client(path) as second:
        for peer in (first, second):
            peer.send(HELLO)
            assert await peer.read(2) == b"ok"
        async with raw_client(path) as third:
            assert await third.rest() == b""
        first.send(message("J", b"1"))
        assert await first.read(2) == b"ok"
    assert "refused" in caplog.text
    await until(lambda: not server.sessions, DEADLINE)
    async with Client(path) as client:
        await client.send_json(1)
    await end(server)


async def test_a_peer_that_resets(received: Received, path: str) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(message("J", b"1")[:-1])
    await until(lambda: received.server.sessions == 1, DEADLINE)
    sock.close()
    await until(lambda: not received.server.sessions, DEADLINE)
    assert received.calls == []


async def test_w17_pickles_are_refused(path: str) -> None:
    got = Received()
    server = Server(path, got)
    await server.start()
    async with Client(path) as client:
        with pytest.raises(errors.ResponseError, match="allow_pickle"):
            await client.send_obj(1)
        with pytest.raises(errors.ResponseError) as caught:
            await client.send_many("P", [1, 2])
        assert set(caught.value.failures) == {0, 1}
    assert got.calls == []
    await end(server)


async def test_w17_the_file_is_for_its_owner(path: str) -> None:
    server = Server(path)
    await server.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    await end(server)
    server = Server(path, mode=0o660)
    await server.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    await end(server)


STRANGER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
os.setuid(12345)
sock.connect(sys.argv[1])
try:
    sock.sendall(b"J\\0\\0\\0\\x011")
    print(sock.recv(10))
except ConnectionError:
    print(b"")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
)
@pytest.mark.parametrize(
    ("allowed", "answer"), [((), "b''"), ((12345,), "b'ok'"), (None, "b'ok'")], ids=str
)
async def test_w17_users(
    tmp_path: Path, allowed: Any, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    # An abstract name has no file, so there is no permission in the way.
    path = f"\0{tmp_path}"
    server = Server(path, mode=0o666, allowed_uids=allowed)
    await server.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STRANGER.replace("sys.argv[1]", repr(path)), stdout=subprocess.PIPE
    )
    out, _ = await soon(process.communicate())
    assert out.decode().strip() == answer
    assert ("user 12345 is refused" in caplog.text) == (answer == "b''")
    await end(server)


# ---- addresses and life -------------------------------------------------------------------


@pytest.mark.parametrize("sockname", [0, ("127.0.0.1", 0), "127.0.0.1:0", "tcp://localhost:0"])
async def test_tcp(sockname: Any) -> None:
    got = Received()
    server = Server(sockname, got)
    await server.start()
    address = server.address
    assert isinstance(address, tuple)
    for where in (address, "{}:{}".format(*address)):
        async with Client(where) as client:
            await client.send_json(1)
    assert got.data == [1, 1]
    await end(server)


def test_texts_of_it() -> None:
    assert repr(Server("/run/x")) == f"Server(sockname=/run/x, platform={sys.platform})"
    assert repr(Server(5000)) == f"Server(port=5000, platform={sys.platform})"


def test_unknown_options_are_kept() -> None:
    assert Server("/run/x", None, None, anything=1).kwargs == {"anything": 1}


async def test_stop_ends_serve_forever(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "smartbus.dip")
    server = Server(path)
    server.stop()  # nothing yet
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    async with Client(path) as client, raw_client(path) as idle:
        await client.send_json(1)
        server.stop()
        server.stop()
        await soon(running)
        assert await idle.rest() == b""  # w10: open connections are closed
        with pytest.raises(FileNotFoundError):
            await client.send_json(2)
    assert not exists(path)
    assert server.sessions == 0
    messages = [record.getMessage() for record in caplog.records if record.name == "smartbus.dip"]
    assert messages == [
        f"Start server Server(sockname={path}, platform={sys.platform}).",
        "Server stopped.",
    ]


async def test_it_starts_again(path: str) -> None:
    got = Received()
    server = Server(path, got)
    async with Client(path, timeout=DEADLINE) as client:
        for number in range(3):
            assert await server.start() is await server.start()
            await client.send_json(number)
            await end(server)
    assert got.data == [0, 1, 2]


async def test_stop_from_another_thread(path: str) -> None:
    server = Server(path)
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    thread = threading.Thread(target=server.stop)
    thread.start()
    await soon(running)
    thread.join()


async def test_stop_from_a_callback(path: str) -> None:
    server = Server(path, lambda *_: server.stop())
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    async with raw_client(path) as peer:
        peer.send(message("J", b"1"))
        assert await peer.rest() in {b"ok", b""}
    await soon(running)


async def test_stop_cancels_callbacks(path: str) -> None:
    cancelled = []

    async def callback(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    server = Server(path, callback)
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    async with Client(path, timeout=DEADLINE) as client:
        sending = client.send_json(1)
        await until(lambda: server.sessions == 1, DEADLINE)
        await asyncio.sleep(0.05)
        server.stop()
        await soon(running)
        with pytest.raises(errors.ConnectionClosed):
            await sending
    assert cancelled == [1]


async def test_stop_does_not_wait_for_a_peer_that_does_not_read(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(path)
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        peer.connect(path)

        async def flood() -> None:
            while True:
                await loop.sock_sendall(peer, message("D", b"") * 10_000)

        flooding = asyncio.create_task(flood())
        await until(lambda: "does not read its answers" in caplog.text, DEADLINE)
        flooding.cancel()
        await asyncio.wait((flooding,))
        server.stop()
        await soon(running)
    assert server.sessions == 0


async def test_cancelling_serve_forever(path: str) -> None:
    server = Server(path)
    running = asyncio.create_task(server.serve_forever())
    await until(lambda: exists(path), DEADLINE)
    async with raw_client(path) as idle:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await idle.rest() == b""
    assert not exists(path)


async def test_w9_a_live_path_is_refused(received: Received, client: Client, path: str) -> None:
    second = Server(path)
    with pytest.raises(OSError, match="already in use"):
        await second.start()
    with pytest.raises(OSError, match="already in use"):
        await second.serve_forever()
    await client.send_json(1)
    assert received.data == [1]


async def test_a_path_that_somebody_left_is_taken(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)
    server = Server(path)
    await server.start()
    async with Client(path) as client:
        await client.send_json(1)
    await end(server)


async def test_a_file_that_is_no_socket_stays(path: str) -> None:
    os.mkdir(path)
    with pytest.raises(OSError, match="already in use"):
        await Server(path).start()
    assert exists(path)


async def test_only_its_own_file_is_removed(path: str) -> None:
    server = Server(path)
    await server.start()
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        await end(server)
        assert exists(path)


async def test_bound_to_a_loop(path: str) -> None:
    other = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="different event loop"):
        await Server(path, loop=other).start()
    other.close()


def test_a_loop_that_is_not_running_any_more(
    path: str, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    loop = make_loop()
    server = Server(path, loop=loop)
    loop.run_until_complete(server.start())
    server.stop()
    assert not exists(path)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    server.stop()


async def test_w13_a_slow_client_of_many(path: str) -> None:
    """A coroutine callback that takes long holds up its own connection only."""
    gates = {number: asyncio.Event() for number in range(12)}

    async def callback(_id: object, _mtype: str, data: int) -> None:
        await gates[data].wait()

    server = Server(path, callback)
    await server.start()
    async with Client(path, timeout=DEADLINE) as client:
        sendings = [client.send_json(number) for number in gates]
        for number in reversed(gates):
            gates[number].set()
            await soon(sendings[number])
    await end(server)


FORKED = """
import asyncio, os, sys
from smartbus.dip import Server

async def main():
    server = Server(sys.argv[1])
    await server.start()
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    print(os.path.exists(sys.argv[1]), flush=True)
    reader, writer = await asyncio.open_unix_connection(sys.argv[1])
    writer.write(b"J\\0\\0\\0\\x011")
    print(await reader.readexactly(2))
    writer.close()
    server.stop()

asyncio.run(main())
"""


def test_stop_in_a_forked_child_is_nothing(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\nb'ok'\n", "")
