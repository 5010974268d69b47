"""A bus with more to do than it has room for, and what its log says about it."""

from __future__ import annotations

import contextlib
import logging
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smartbus._c.flood import FloodGate
from smartbus.bus import Bus, Registration
from smartbus.testing import wait_until
from smartbus.wire import Address, CmdType, encode_frame
from tests.bus.raw import DEADLINE, Raw

ROOT = Path(__file__).parents[2]
EVERYBODY = (255, 255, 255)
NEVER = 600.0


def _expect_numbered(raw: Raw, count: int) -> None:
    """Take `count` packets, which begin with their numbers."""
    for number in range(count):
        frame = raw.receive()
        while frame.cmd_type != CmdType.USER:
            frame = raw.receive()
        assert int.from_bytes(frame.data[:4], "little") == number


# ---- memory ------------------------------------------------------------------------------


def test_a_broadcast_is_kept_once_for_all_who_do_not_read() -> None:
    crowd, packets, size = 60, 120, 60_000
    with Bus(slow_timeout=NEVER) as bus, contextlib.ExitStack() as stack, Raw(bus) as sender:
        readers = [stack.enter_context(Raw(bus)) for _ in range(crowd)]
        for number, reader in enumerate(readers):
            assert reader.join(Address(20, number, 18)) == 0
        assert sender.join(Address(30, 1, 18)) == 0
        for number in range(packets):
            data = number.to_bytes(4, "little") + bytes(size - 4)
            sender.socket.sendall(encode_frame((30, 1, 18), EVERYBODY, 1, 3, data))
        wait_until(lambda: bus.stats().frames_out == crowd * packets)
        stats = bus.stats()
        assert stats.queued_bytes > 20 * packets * size
        assert stats.memory < 2 * packets * size
        _expect_numbered(readers[7], packets)


def test_all_queues_together_are_bounded() -> None:
    bound = 4 << 20
    with Bus(max_memory=bound) as bus, contextlib.ExitStack() as stack, Raw(bus) as sender:
        crowd = [stack.enter_context(Raw(bus)) for _ in range(8)]
        for number, reader in enumerate(crowd):
            assert reader.join(Address(20, number, 18)) == 0
        assert sender.join(Address(30, 1, 18)) == 0
        highest, data = 0, bytes(8000)
        sender.socket.settimeout(DEADLINE)
        number = 0
        while bus.stats().slow < len(crowd):  # none of them reads: all are cut off in the end
            to = (20, number % len(crowd), 18)
            sender.socket.sendall(encode_frame((30, 1, 18), to, 1, 3, data))
            highest = max(highest, bus.stats().memory)
            number += 1
        assert highest < 2 * bound
        sender.socket.sendall(encode_frame((30, 1, 18), (0, 0, 1), 7, 1, b"still here"))
        while sender.receive().data != b"still here":
            pass
        assert [client.unit_id for client in bus.clients()] == [30]


# ---- connections -------------------------------------------------------------------------


def test_silent_connections_make_way(logged: Callable[[str], logging.LogRecord]) -> None:
    with Bus(max_links=5, idle_timeout=NEVER) as bus, contextlib.ExitStack() as stack:
        first = stack.enter_context(Raw(bus))
        assert first.join(Address(20, 1, 18)) == 0
        for _ in range(20):
            stack.enter_context(Raw(bus))
        assert stack.enter_context(Raw(bus)).join(Address(20, 2, 18)) == 0
        assert logged("no place for another connection").levelno == logging.WARNING
        assert {client.client_id for client in bus.clients()} == {1, 2}
        assert bus.stats().crowded_out > 0


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_out_of_descriptors() -> None:
    command = [sys.executable, "-m", "smartbus", "bus", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=_few_descriptors,  # noqa: PLW1509 - it only makes a system call
    ) as process:
        try:
            assert process.stdout is not None
            host, _, port = process.stdout.readline().split(" on ")[1].split(";")[0].partition(":")
            bus = Bus(host, int(port))  # not started: it only tells where
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(socket.create_connection((host, int(port)), DEADLINE))
                assert stack.enter_context(Raw(bus)).join(Address(20, 1, 18)) == 0
        finally:
            process.kill()


# ---- the host ----------------------------------------------------------------------------


def test_many_registrations_at_once_are_all_decided() -> None:
    asked: list[int] = []

    def decide(registration: Registration) -> int:
        asked.append(registration.client_id)
        return 0

    with Bus(users=decide) as bus, contextlib.ExitStack() as stack:
        raws = [stack.enter_context(Raw(bus)) for _ in range(200)]
        for number, raw in enumerate(raws):
            raw.register(Address(20, number, 18))
        assert [raw.ack() for raw in raws] == [0] * 200
        assert sorted(asked) == list(range(200))


def test_what_it_was_closed_for_is_logged_though_the_bus_stops_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "smartbus.bus")
    for _ in range(20):
        caplog.clear()
        with Bus() as bus, Raw(bus) as raw, Raw(bus) as other:
            assert raw.join(Address(20, 1, 18)) == 0
            assert other.join(Address(20, 2, 18)) == 0
            raw.socket.sendall(b"x" * 20)
            assert raw.closed()
            bus.close()
        assert "client 1 of unit 20 (type 18)" in caplog.text
        assert "was closed for bad input: " in caplog.text
        assert f"{other.address} left: the bus stops" in caplog.text
        assert caplog.records[-1].getMessage().endswith("stopped")


def test_what_was_left_out_of_the_log_is_said_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    gate = FloodGate(logging.getLogger("smartbus.bus"), 3)
    gate.close()
    for number in range(5000):
        gate.log(logging.WARNING, "line %d", number)
    gate.close()
    gate.close()
    lines = [record for record in caplog.records if record.getMessage().startswith("line")]
    left_out = [
        record.args[0]
        for record in caplog.records
        if "were left out" in record.getMessage() and isinstance(record.args, tuple)
    ]
    assert len(lines) + sum(number for number in left_out if isinstance(number, int)) == 5000


def test_bad_input_does_not_hide_who_comes_and_goes(
    logged: Callable[[str], logging.LogRecord],
) -> None:
    with Bus() as bus:
        for _ in range(60):
            with Raw(bus) as raw:
                raw.socket.sendall(b"x" * 20)
                assert raw.closed()
        with Raw(bus) as raw:
            assert raw.join(Address(20, 1, 18)) == 0
            logged(f"{raw.address} joined")
        logged(f"{raw.address} left")


def test_a_client_cannot_forge_a_line(logged: Callable[[str], logging.LogRecord]) -> None:
    with Bus() as bus, Raw(bus) as raw:
        assert raw.join(Address(20, 1, 18), info=b"\r\nWARNING gotcha", version=b"1\n2") == 0
        assert "\n" not in logged("joined").getMessage()


# ---- last words --------------------------------------------------------------------------


def test_a_kicked_client_gets_what_was_sent_to_it() -> None:
    packets = 300
    with Bus(slow_timeout=NEVER) as bus, Raw(bus) as sender, Raw(bus) as kicked:
        assert kicked.join(Address(20, 1, 18)) == 0
        assert sender.join(Address(20, 2, 18)) == 0
        for number in range(packets):
            data = number.to_bytes(4, "little") + bytes(20_000)
            sender.socket.sendall(encode_frame((20, 2, 18), (20, 1, 18), 1, 3, data))
        wait_until(lambda: bus.stats().frames_out == packets)
        kicked.socket.sendall(encode_frame((20, 1, 18), (20, 2, 18), 1, 3, bytes(100_000)))
        bus.kick(20, 1)
        assert [client.client_id for client in bus.clients()] == [2]
        _expect_numbered(kicked, packets)
        assert kicked.socket.recv(1) == b""  # an end, no reset
