"""The same one-way traffic over pyzmq: PUSH/PULL and ROUTER/DEALER through ``zmq.proxy``."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Final

import zmq
from traffic import END, Checker, payloads

#: Messages that a socket queues. Its default of 1000 makes senders and receivers take turns.
QUEUE: Final = 100_000

#: By pattern: the sender's socket, the proxy's two, the receiver's.
PATTERNS: Final = {
    "push": (zmq.PUSH, zmq.PULL, zmq.PUSH, zmq.PULL),
    "router": (zmq.DEALER, zmq.ROUTER, zmq.DEALER, zmq.DEALER),
}


def _socket(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.set_hwm(QUEUE)
    return socket


def proxy(pipe: Connection, pattern: str, folder: str = "") -> None:
    """Be the proxy, for ever; says its two addresses: over TCP, or local ones in `folder`."""
    _, front_kind, back_kind, _ = PATTERNS[pattern]
    ends = _socket(front_kind), _socket(back_kind)
    for end, name in zip(ends, ("front", "back"), strict=True):
        end.bind(f"ipc://{folder}/{name}" if folder else "tcp://127.0.0.1:*")
    pipe.send(tuple(end.getsockopt_string(zmq.LAST_ENDPOINT) for end in ends))
    zmq.proxy(*ends)


def receive(pipe: Connection, address: str, pattern: str, size: int) -> None:
    """Be the receiver, until the pipe closes."""
    socket = _socket(PATTERNS[pattern][3])
    socket.connect(address)
    checker = Checker(size)
    one = checker.one
    pipe.send("ready")
    try:
        while pipe.recv():
            checker.begin()
            pipe.send("ready")
            if pattern == "router":
                receive_parts = socket.recv_multipart
                while one(receive_parts()[-1]):
                    pass
            else:
                receive_one = socket.recv
                while one(receive_one()):
                    pass
            pipe.send(checker.wait())
    except EOFError:
        zmq.Context.instance().destroy(linger=0)


def send(pipe: Connection, address: str, pattern: str, size: int) -> None:
    """Be the sender, until the pipe closes."""
    socket = _socket(PATTERNS[pattern][0])
    socket.connect(address)
    cycle = payloads(size)
    pipe.send("ready")
    try:
        while True:
            (seconds,) = pipe.recv()
            put, sent = socket.send, 0
            begun = time.perf_counter()
            while time.perf_counter() < begun + seconds:
                for data in cycle:
                    put(data)
                sent += len(cycle)
            put(END + b"%d" % sent)
            pipe.send((sent, begun))
    except EOFError:
        zmq.Context.instance().destroy(linger=0)
