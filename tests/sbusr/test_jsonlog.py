from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import datetime

from sbusr.jsonlog import JsonFormatter
from tests.sbusr.program import Program


def test_record() -> None:
    try:
        raise RuntimeError("bad 坏")
    except RuntimeError:
        record = logging.LogRecord("a.b", logging.ERROR, "f", 1, "%s\n坏", ("x",), sys.exc_info())
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert "\n" not in line
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).timestamp() == round(record.created, 6)
    assert entry.pop("exception").endswith("RuntimeError: bad 坏")
    assert entry == {
        "level": "ERROR",
        "logger": "a.b",
        "process": "MainProcess",
        "message": "x\n坏",
    }


def test_program(run: Callable[..., Program]) -> None:
    program = run("--log-json")
    program.until_says("is ready")
    program.process.terminate()
    assert program.wait() == 0
    entries = [json.loads(line) for line in program.text().splitlines()]
    assert any(entry["logger"] == "sbusr.pool" for entry in entries)
    log = (program.directory / "logs/log").read_text("utf-8").splitlines()
    assert [json.loads(line)["message"] for line in log] == [each["message"] for each in entries]
