from __future__ import annotations

import os
from pathlib import Path

import pytest

from sbusr.pidfile import PidFile, PidFileError, running


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert running(path) is None
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert running(path) == os.getpid()
        with pytest.raises(PidFileError, match=f"running process: {os.getpid()}"), PidFile(path):
            pass
        assert running(path) == os.getpid()
    assert not path.exists()
    with PidFile(path):
        assert running(path) == os.getpid()


def test_what_a_killed_process_left_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1\nand more")
    assert running(path) is None
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_directory_is_no_pid_file(tmp_path: Path) -> None:
    with pytest.raises(PidFileError, match="cannot be written"), PidFile(tmp_path):
        pass
