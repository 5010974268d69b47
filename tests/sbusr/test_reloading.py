"""Reloading by SIGHUP and with ``--reload``: the program itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sbusr.reloading import snapshot
from tests.sbusr.program import Program

Run = Callable[..., Program]


def started(run: Run, *args: str, stdin: int | None = None) -> Program:
    program = run("--embedded", "-W", *args, stdin=stdin)
    program.until_says("Stop:")
    return program


def append(directory: Path, text: str) -> None:
    with (directory / "methods/__init__.py").open("a") as file:
        file.write(text)


def test_sighup(run: Run, directory: Path) -> None:
    program = started(run)
    (old,) = program.workers()
    program.process.send_signal(signal.SIGHUP)
    program.until_says("SIGHUP: the methods are loaded, workers [")
    program.until(lambda: len(program.workers()) == 1)
    (new,) = program.workers()
    assert new != old
    append(directory, "\nraise RuntimeError('not today')\n")
    program.process.send_signal(signal.SIGHUP)
    program.until_says("SIGHUP: the new workers do not start, the old ones go on: RuntimeError")
    program.until_says("raise RuntimeError('not today')")
    program.until(lambda: program.workers() == [new])
    program.process.terminate()
    assert program.wait() == 0


def test_reload_when_files_change(run: Run, directory: Path) -> None:
    program = started(run, "--reload")
    program.until_says("watching 1 files of methods")
    (old,) = program.workers()
    (directory / "methods/more.py").write_text("def f(): pass\n")
    program.until_says("methods/more.py changed: the methods are loaded")
    program.until(lambda: old not in program.workers())
    append(directory, "\nraise RuntimeError('not today')\n")
    program.until_says("methods/__init__.py changed: the new workers do not start")
    program.until_says("raise RuntimeError('not today')")
    (directory / "methods/more.py").unlink()
    program.until_says("methods/more.py changed: loading")
    program.process.terminate()
    assert program.wait() == 0
    assert "never retrieved" not in program.text()


def test_closed_terminal_stops(run: Run) -> None:
    ours, theirs = os.openpty()
    try:
        program = started(run, stdin=theirs)
        program.process.send_signal(signal.SIGHUP)
        program.until_says("SIGHUP: the methods are loaded")  # it is still there
    finally:
        os.close(theirs)
        os.close(ours)
    program.process.send_signal(signal.SIGHUP)
    assert program.wait() == 0
    assert "SIGHUP: stopping" in program.text()


def test_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert snapshot("sbusr_test_methods") == {}
    package = tmp_path / "sbusr_test_methods"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/a.py", "data.txt"):
        (package / name).write_text("raise SystemExit")
    assert set(snapshot("sbusr_test_methods")) == {package / "__init__.py", package / "inner/a.py"}
    (tmp_path / "sbusr_test_single.py").write_text("")
    assert set(snapshot("sbusr_test_single")) == {tmp_path / "sbusr_test_single.py"}
