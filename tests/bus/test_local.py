"""The local socket of a bus."""

from __future__ import annotations

import errno
import socket
import stat
from pathlib import Path

import pytest

from smartbus.bus import Bus
from smartbus.errors import ArgumentError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    bus = Bus(ipc_path=path)
    assert bus.ipc_path == str(path)
    assert not path.exists()
    for _ in range(2):
        with bus:
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert mode(path) == 0o660
        assert not path.exists()
    with Bus(ipc_path=path, ipc_mode=0o606):
        assert mode(path) == 0o606
    assert Bus().ipc_path is None


def test_a_stale_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with Bus(ipc_path=path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_file_of_another_bus_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Bus(ipc_path=path):
        path.unlink()
        with Bus(ipc_path=path) as second:
            first_one = path.stat().st_ino
            with Bus(ipc_path=tmp_path / "other"):
                pass
            assert path.stat().st_ino == first_one
            assert second.running
        assert not path.exists()
        path.write_text("precious")
    assert path.read_text() == "precious"


def test_one_bus_for_one_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Bus(ipc_path=path):
        with pytest.raises(OSError, match=f"cannot listen on {path}") as caught:
            Bus(ipc_path=path).start()
        assert caught.value.errno == errno.EADDRINUSE
        assert path.exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        Bus(ipc_path=path).start()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ArgumentError, match="ipc_path"):
        Bus(ipc_path=name)


def test_names_that_are_too_long(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        Bus(ipc_path=tmp_path / ("x" * 200)).start()


@pytest.mark.parametrize("bad", [-1, 0o1777])
def test_bad_modes(bad: int) -> None:
    with pytest.raises(ArgumentError, match="ipc_mode"):
        Bus(ipc_path="x", ipc_mode=bad)
