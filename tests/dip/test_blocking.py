"""`Client` without an event loop: the same promises, in any thread, and in forked children."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.dip import Client, Server, errors
from smartbus.testing import Record, wait_until
from tests.dip.peers import DEADLINE, HELLO, ROOT, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAME = message("J", b"1")
SHORT = 0.05


class Running:
    """A server in a thread."""

    def __init__(self, sockname: Any) -> None:
        self.data: Record[Any] = Record(DEADLINE)
        self.server = Server(sockname, self.callback, allow_pickle=True)
        self._thread = threading.Thread(target=asyncio.run, args=(self.server.serve_forever(),))
        self._thread.start()
        wait_until(lambda: self.server.server, DEADLINE)

    def callback(self, _id: object, _mtype: str, data: Any) -> None:
        if data == "fail":
            raise ValueError("boom")
        self.data.add(data)

    def close(self) -> None:
        self.server.stop()
        self._thread.join()


@pytest.fixture(params=["unix", "tcp"])
def server(request: pytest.FixtureRequest, path: str) -> Iterator[Running]:
    running = Running(path if request.param == "unix" else 0)
    yield running
    running.close()


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.server.address, timeout=DEADLINE) as client:
        yield client


def test_messages_arrive(server: Running, client: Client) -> None:
    client.send_json({"a": 1})
    client.send_obj((1, 2))
    client.send_msg("O", "")
    client.send_many("U", [[1], [2, 3]])
    client.send_msg("O", "x" * 3_000_000)
    assert list(server.data) == [{"a": 1}, (1, 2), "", [1], [2, 3], "x" * 3_000_000]
    assert server.server.sessions == 1


def test_what_it_returns(client: Client) -> None:
    """Done already, and all the same something to await."""
    sending = client.send_json(1)
    assert repr(sending) == "<delivered>"
    asyncio.run(sending)

    async def awaits() -> None:
        await sending
        await asyncio.create_task(sending)
        task = asyncio.create_task(sending)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(awaits())
    sending.close()


def test_errors(server: Running, client: Client) -> None:
    with pytest.raises(errors.ResponseError, match=r"^Server respond with: ValueError\('boom'\)$"):
        client.send_json("fail")
    with pytest.raises(errors.UnsupportedProtoError):
        client.send_msg("Z", 1)
    with pytest.raises(TypeError):
        client.send_json({1})
    client.send_json(1)
    assert list(server.data) == [1]


def test_no_server(path: str) -> None:
    client = Client(path)
    with pytest.raises(FileNotFoundError):
        client.send_json(1)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with pytest.raises(ConnectionRefusedError):
        client.send_json(1)


def test_it_reconnects(path: str) -> None:
    with Client(path) as client:
        for number in range(3):
            running = Running(path)
            client.send_json(number)
            running.close()
            assert list(running.data) == [number]


def test_it_may_be_used_after_quit(server: Running, client: Client) -> None:
    client.send_json(1)
    client.quit()
    client.close()
    wait_until(lambda: not server.server.sessions, DEADLINE)
    client.send_json(2)
    assert list(server.data) == [1, 2]


def test_many_threads(server: Running) -> None:
    with Client(server.server.address, pool_size=3, timeout=DEADLINE) as client:

        def send(base: int) -> None:
            for number in range(50):
                client.send_json(base + number)

        threads = [threading.Thread(target=send, args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(server.data) == sorted(1000 * n + m for n in range(8) for m in range(50))
        assert server.server.sessions <= 3


def test_nobody_calls_quit(server: Running) -> None:
    Client(server.server.address).send_json(1)
    wait_until(lambda: not server.server.sessions, DEADLINE)


# ---- answers that do not come -------------------------------------------------------------


@contextlib.contextmanager
def listener(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(DEADLINE)
        yield listening


def accept(listening: socket.socket) -> socket.socket:
    """Take a connection and its introduction."""
    peer, _ = listening.accept()
    peer.settimeout(DEADLINE)
    assert peer.recv(len(HELLO), socket.MSG_WAITALL) == HELLO
    peer.sendall(b"ok")
    return peer


@contextlib.contextmanager
def sending(call: Callable[[], object]) -> Iterator[list[BaseException | None]]:
    """Call in a thread; afterwards there is its exception, or None."""
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - the test looks at it
            outcome.append(exc)
        else:
            outcome.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    yield outcome
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_w5_a_late_answer_is_nobodys(path: str) -> None:
    client = Client(path, timeout=SHORT)
    with listener(path) as listening:
        with sending(lambda: client.send_json(1)) as outcome, accept(listening) as peer:
            assert peer.recv(100) == FRAME
            assert peer.recv(100) == b""  # closed
        assert isinstance(outcome[0], errors.ReadTimeout)
        assert str(outcome[0]) == "Server failed to respond after 0.05 seconds."
    client.quit()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", errors.ConnectionClosed),
        (b"o", errors.ConnectionClosed),
        (b"ok", type(None)),
        (b"okok", errors.ResponseError),
        (b"okay", errors.ResponseError),
        (b"!\0\0\0\x02[]", errors.ResponseError),
        (b"\xff", errors.ResponseError),
    ],
)
def test_answers(path: str, answer: bytes, expected: type) -> None:
    client = Client(path, timeout=DEADLINE)
    with listener(path) as listening:
        with sending(lambda: client.send_json(1)) as outcome, accept(listening) as peer:
            assert peer.recv(100) == FRAME
            peer.sendall(answer)
        assert isinstance(outcome[0], expected)
        # The next one has a connection of its own.
        with sending(lambda: client.send_json(1)) as outcome, accept(listening) as peer:
            assert peer.recv(100) == FRAME
            peer.sendall(b"ok")
        assert outcome == [None]
    client.quit()


def test_the_introduction_is_refused(path: str) -> None:
    client = Client(path, timeout=DEADLINE)
    with listener(path) as listening, sending(lambda: client.send_json(1)) as outcome:
        peer, _ = listening.accept()
        with peer:
            assert peer.recv(len(HELLO), socket.MSG_WAITALL) == HELLO
            peer.sendall(b"ValueError('who?')")
    assert isinstance(outcome[0], errors.ConnectionClosed)
    assert "who?" in str(outcome[0])


def test_what_is_said_unasked_ends_the_connection(path: str) -> None:
    client = Client(path, timeout=DEADLINE)
    with listener(path) as listening:
        with sending(lambda: client.send_json(1)) as outcome, accept(listening) as first:
            assert first.recv(100) == FRAME
            first.sendall(b"ok")
            wait_until(lambda: outcome, DEADLINE)
            first.sendall(b"ok")
        with sending(lambda: client.send_json(1)) as outcome, accept(listening) as second:
            assert second.recv(100) == FRAME
            second.sendall(b"ok")
        assert outcome == [None]
    client.quit()


def test_a_server_that_does_not_read(path: str) -> None:
    client = Client(path, timeout=0.3)
    with listener(path) as listening:
        with sending(lambda: client.send_msg("O", "x" * 10_000_000)) as outcome:
            peer = accept(listening)
        peer.close()
    assert isinstance(outcome[0], errors.ReadTimeout)


def test_a_server_that_accepts_nobody(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(path)
        listening.listen(0)
        while True:  # until the backlog is full
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(path)
            except BlockingIOError:
                break
        client = Client(path, timeout=SHORT)
        with pytest.raises(TimeoutError, match="accepted no connection"):
            client.send_json(1)

        async def send() -> None:
            with pytest.raises(TimeoutError, match="accepted no connection"):
                await client.send_json(1)

        asyncio.run(send())


def test_all_connections_are_busy(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartbus.dip.blocking.ACQUIRE_TIMEOUT", SHORT)
    client = Client(path, timeout=DEADLINE, pool_size=1)
    with (
        listener(path) as listening,
        sending(lambda: client.send_json(1)) as outcome,
        accept(listening) as peer,
    ):
        assert peer.recv(100) == FRAME
        with pytest.raises(errors.ConnectionAquireTimeout, match="All 1 connections"):
            client.send_json(1)
        peer.sendall(b"ok")
    assert outcome == [None]
    client.quit()


def test_interrupted(path: str) -> None:
    """Ctrl-C in the middle: the connection is closed, for its answer may still come."""
    code = """
import signal, sys
from smartbus.dip import Client
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
client = Client(sys.argv[1], timeout=None)
try:
    client.send_json(1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
client.send_json(1)
"""
    with listener(path) as listening:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, path],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with accept(listening) as peer:
            assert peer.recv(100) == FRAME
            process.send_signal(2)
            assert peer.recv(100) == b""
        with accept(listening) as peer:
            assert peer.recv(100) == FRAME
            peer.sendall(b"ok")
            out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


# ---- forks --------------------------------------------------------------------------------

FORK = """
import asyncio, gc, json, os, sys
from smartbus.dip import Client

client = Client(sys.argv[1], timeout=20)
how = sys.argv[2]

def child():
    if how == "quit":
        client.quit()
    elif how == "collect":
        globals().pop("client")
        gc.collect()
    elif how == "send":
        client.send_json("child")
    elif how == "loop":
        async def send():
            await client.send_json("child")
            await client.send_many("J", ["child too"])
            client.quit()
        asyncio.run(send())

def fork():
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

async def parent():
    await asyncio.gather(*(client.send_json(1) for _ in range(3)))
    code = fork()
    await asyncio.gather(*(client.send_json(2) for _ in range(5)))
    client.quit()
    return code

def plain():
    client.send_json(1)
    code = fork()
    client.send_json(2)
    client.quit()
    return code

if sys.argv[3] == "uvloop":
    import uvloop
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
print(plain() if sys.argv[3] == "plain" else asyncio.run(parent()))
"""


@pytest.mark.parametrize("loop", ["plain", "asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["quit", "collect", "send", "loop"])
def test_w11_a_forked_child(path: str, how: str, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    server = Running(path)
    done = subprocess.run(
        [sys.executable, "-c", FORK, path, how, loop],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    server.close()
    assert (done.stdout, done.stderr) == ("0\n", "")
    expected = {"quit": [], "collect": [], "send": ["child"], "loop": ["child", "child too"]}[how]
    first = 1 if loop == "plain" else 3
    assert list(server.data) == [
        *([1] * first),
        *expected,
        *([2] * (1 if loop == "plain" else 5)),
    ]


def test_a_new_pool_in_every_child(server: Running) -> None:
    """Many children with one client, as a program of one master has them."""
    code = """
import json, os, sys
from smartbus.dip import Client
address = json.loads(sys.argv[1])
client = Client(tuple(address) if isinstance(address, list) else address, timeout=20)
client.send_json("parent")
children = []
for number in range(8):
    pid = os.fork()
    if pid == 0:
        for each in range(20):
            client.send_json([number, each])
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
client.send_json("parent")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, json.dumps(server.server.address)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    data = list(server.data)
    assert data[0] == data[-1] == "parent"
    assert sorted(data[1:-1]) == [[n, m] for n in range(8) for m in range(20)]
