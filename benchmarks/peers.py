"""What users would pick instead, doing the same work: an echo of a 100-byte JSON-RPC request.

Every peer has one worker process. ``zmq``: client DEALER, a process with ``zmq.proxy``, a
worker with orjson. ``pool``: ``multiprocessing.Pool.apply_async`` alone, without any network.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson
import zmq
from asking import Asker

_spawn = multiprocessing.get_context("spawn")


PARAM: Final = "thirty-three bytes, for a request"


def _proxy(front: str, back: str) -> None:
    context = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.bind(front)
    dealer.bind(back)
    zmq.proxy(router, dealer)


def _worker(back: str) -> None:
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(back)
    while True:
        *route, body = socket.recv_multipart()
        request = orjson.loads(body)
        reply = {"jsonrpc": "2.0", "id": request["id"], "result": request["params"][0]}
        socket.send_multipart([*route, orjson.dumps(reply)])


class ZmqPeer(Asker):
    """A DEALER in front of ``zmq.proxy``."""

    def __init__(self, address: str) -> None:
        """Connect to the proxy's front."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(address)

    def ask(self, number: int) -> None:
        """See `Asker`."""
        request = {"jsonrpc": "2.0", "id": f"{number:05d}", "method": "echo", "params": [PARAM]}
        self._socket.send(orjson.dumps(request))

    def take(self) -> list[bytes]:
        """See `Asker`."""
        if not self._socket.poll(5000):
            raise RuntimeError("requests were not answered")
        answer = self._socket.recv()
        if orjson.loads(answer)["result"] != PARAM:
            raise RuntimeError(f"wrong answer: {answer!r}")
        return [answer]

    def check(self, answer: bytes, number: int) -> None:
        """See `Asker`."""
        if orjson.loads(answer)["id"] != f"{number:05d}":
            raise RuntimeError(f"wrong answer to request {number}: {answer!r}")

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)


@contextlib.contextmanager
def zmq_peer() -> Iterator[ZmqPeer]:
    """Run proxy and worker processes while the body runs."""
    with tempfile.TemporaryDirectory() as folder:
        front, back = f"ipc://{folder}/front", f"ipc://{folder}/back"
        processes = [
            _spawn.Process(target=_proxy, args=(front, back), daemon=True),
            _spawn.Process(target=_worker, args=(back,), daemon=True),
        ]
        for process in processes:
            process.start()
        peer = ZmqPeer(front)
        try:
            peer.latency(0.2)
            yield peer
        finally:
            peer.close()
            for process in processes:
                process.terminate()
                process.join()


def _echo(text: str) -> str:
    return text


class PoolPeer:
    """``multiprocessing.Pool`` with one process."""

    def __init__(self, pool: Any) -> None:
        """Use `pool`."""
        self._pool = pool

    def latency(self, seconds: float) -> list[float]:
        """See `Peer`."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            self._pool.apply_async(_echo, (PARAM,)).get(5)
            times.append(time.perf_counter() - start)
        return times

    def throughput(self, outstanding: int, seconds: float) -> float:
        """See `Peer`; a new request starts in the callback of each answer."""
        begin = time.perf_counter()
        end = begin + seconds
        lock = threading.Lock()
        idle = threading.Event()
        counts = {"sent": outstanding, "answered": 0}

        def done(_: object) -> None:
            with lock:
                counts["answered"] += 1
                more = time.perf_counter() < end
                counts["sent"] += more
                finished = counts["answered"] == counts["sent"]
            if more:
                self._pool.apply_async(_echo, (PARAM,), callback=done)
            elif finished:
                idle.set()

        for _ in range(outstanding):
            self._pool.apply_async(_echo, (PARAM,), callback=done)
        if not idle.wait(seconds + 30):
            raise RuntimeError("requests were not answered")
        return counts["answered"] / (time.perf_counter() - begin)


@contextlib.contextmanager
def pool_peer() -> Iterator[PoolPeer]:
    """Run the pool while the body runs."""
    with _spawn.Pool(1) as pool:
        pool.apply(_echo, (PARAM,))
        yield PoolPeer(pool)
