"""``python -m smartbus bus`` as real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import smartbus
from smartbus.bus import PasswordFile
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import HEADER_SIZE, Address, CmdType, encode_frame
from tests.bus.raw import Raw

ROOT = Path(__file__).parents[2]
DEADLINE = 1.5 * TIMEOUT
COMMAND = [sys.executable, "-W", "error", "-m", "smartbus"]


def run(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={**os.environ, **environment},
    )


@contextmanager
def running(
    *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    process = subprocess.Popen(
        [*COMMAND, "bus", "--listen", "127.0.0.1:0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r" on 127\.0\.0\.1:(\d+);", line)
        assert match, (line, process.communicate(timeout=DEADLINE))
        yield process, line, int(match[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE)


def ended(connection: socket.socket) -> bool:
    """Whether the bus has closed it; one that it had not accepted yet is reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_runs_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with running("--unit", "3") as (process, line, port):
        assert line == f"SmartBus server, unit 3, on 127.0.0.1:{port}; Ctrl-C stops it.\n"
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
            process.send_signal(number)
            assert process.wait(DEADLINE) == 0
            assert ended(connection)
        assert process.communicate(timeout=DEADLINE) == ("", "")


def test_several_signals_at_once_are_one() -> None:
    with running() as (process, _, _):
        process.send_signal(signal.SIGSTOP)
        for number in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=DEADLINE)
        assert (process.returncode, errors) == (0, "")


def test_verbose_shows_bad_input_and_life() -> None:
    with running("-v") as (process, _, port):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
            connection.sendall(b"x" * 20)
            assert connection.recv(1) == b""
        assert process.stderr is not None
        assert "listens on" in process.stderr.readline()
        assert "WARNING a connection from 127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE)
        assert "stopped" in errors


def test_a_packet_of_more_than_max_frame_is_logged() -> None:
    limit, sender, receiver = 100_000, Address(20, 1, 18), Address(30, 2, 18)
    with (
        running("--max-frame", str(limit)) as (process, _, port),
        Raw(("127.0.0.1", port)) as sends,
        Raw(("127.0.0.1", port)) as hears,
    ):
        assert sends.join(sender) == 0
        assert hears.join(receiver) == 0
        fits = encode_frame(sender, receiver, 1, CmdType.USER, bytes(limit - HEADER_SIZE))
        assert len(fits) == limit
        sends.socket.sendall(fits)
        assert any(len(hears.receive().data) == limit - HEADER_SIZE for _ in range(3))
        with suppress(ConnectionError):  # it does not read to the end
            sends.socket.sendall(encode_frame(sender, receiver, 1, CmdType.USER, bytes(limit)))
        assert sends.closed()
        assert process.stderr is not None
        line = process.stderr.readline()
        assert (
            f"client 1 of unit 20 (type 18) at {sends.address} was closed for bad input: " in line
        )
        assert f"a packet of {limit + HEADER_SIZE} bytes is larger than the {limit} allowed" in line


def test_listens_on_a_local_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running("--ipc", str(path), "--ipc-mode", "600") as (process, line, port):
        assert line == (
            f"SmartBus server, unit 0, on 127.0.0.1:{port}; IPC on {path}; Ctrl-C stops it.\n"
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(path))
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
            assert ended(connection)
    assert not path.exists()


def test_the_local_socket_is_where_clients_look_for_it(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running("--ipc", SMARTBUS_IPC_SOCKET=str(path)) as (_, line, _):
        assert f"IPC on {path};" in line
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_add_user(tmp_path: Path) -> None:
    path = tmp_path / "users"
    done = run("bus", "--users", str(path), "--add-user", "anna", text="geheim\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "anna is a new user" in done.stdout
    assert PasswordFile(path).check("anna", "geheim") == 0
    done = run("bus", "--users", str(path), "--add-user", "anna", text="neu\n")
    assert "anna is there with the new password" in done.stdout
    assert PasswordFile(path).check("anna", "neu") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--listen", "nonsense"], 2, "--listen 'nonsense': expected HOST:PORT"),
        (["--listen", "1.2.3.4:99999"], 2, "expected HOST:PORT"),
        (["--add-user", "anna"], 2, "--add-user needs --users FILE"),
        (["--unit", "16"], 1, "unit_id is 16"),
        (["--users", "/no/such/file"], 1, "/no/such/file"),
        (["--users", "/dev/null", "--add-user", "a:b"], 1, "user name 'a:b'"),
        (["--listen", "192.0.2.1:8089"], 1, "cannot listen on 192.0.2.1:8089"),
        (["--unit", "x"], 2, "invalid int value"),
        (["--ipc-mode", "rw"], 2, "'rw' is no octal number"),
        (["--ipc-mode", "7777"], 2, "'7777' is not between 0 and 0777"),
        (["--max-frame", "8191"], 2, "'8191' is not a number of bytes from 8192 to 268435478"),
        (["--max-frame", "268435479"], 2, "'268435479' is not a number of bytes"),
        (["--max-frame", "64M"], 2, "'64M' is not a number of bytes"),
        (["--ipc-mode", "600"], 2, "--ipc-mode needs --ipc"),
        (["--ipc", ""], 2, "--ipc '' names no file"),
        (
            ["--listen", "127.0.0.1:0", "--ipc", __file__],
            1,
            f"cannot listen on {__file__}: it exists and is no socket",
        ),
        (["--listen", "127.0.0.1:0", "--ipc", "/no/such/place"], 1, "cannot listen on /no/such"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], code: int, message: str) -> None:
    done = run("bus", *arguments, text="geheim\n")
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_ctrl_c_at_the_password_prompt(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "bus", "--users", str(tmp_path / "users"), "--add-user", "ada"],
        cwd=ROOT,
        stdin=theirs,
        stderr=theirs,
        start_new_session=True,  # no other terminal to ask on
    )
    os.close(theirs)
    try:
        said = b""
        while b"Password of ada" not in said:
            said += os.read(ours, 1024)
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < deadline:
            # One that comes between Python's last look for signals and its read must be repeated.
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(DEADLINE / 6)
        assert process.returncode == 130
        with suppress(OSError):  # the other end is closed
            while more := os.read(ours, 1024):
                said += more
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"Traceback" not in said
    assert not (tmp_path / "users").exists()


def test_help_and_version() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("bus", "info", "ipsc"):
        assert command in done.stdout
    assert run("--version").stdout == f"smartbus {smartbus.__version__}\n"
    assert "--add-user" in run("bus", "--help").stdout
    assert "Run a stand-in for an IPSC server." in run("ipsc", "--help").stdout
    assert run("nonsense").returncode == 2
    assert run().returncode == 2
