"""``sbusr init``: what it writes works as it is."""

from __future__ import annotations

import configparser
import json
import sys
import urllib.request
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from tests.ports import free_port
from tests.sbusr.program import ROOT, Program

Run = Callable[..., Program]


def test_the_settings_are_those_of_the_checkout() -> None:
    template = files("sbusr") / "templates/settings.txt"
    assert template.read_text("utf-8") == (ROOT / "settings.py").read_text("utf-8")


def test_what_it_writes_works(tmp_path: Path) -> None:
    new = tmp_path / "new"
    made = Program(tmp_path, "init", str(new))
    assert made.wait() == 0
    assert str(new) in made.text()
    port = free_port()
    settings = (new / "settings.py").read_text("utf-8")
    settings = settings.replace('"masterPort": 8089', f'"masterPort": {free_port()}')
    (new / "settings.py").write_text(settings.replace("(8080,", f"({port},"), "utf-8")
    check = Program(new, "check", "--json")
    assert check.wait() == 0
    assert [each["name"] for each in json.loads(check.text())["methods"]] == ["hello"]
    daemon = Program(new, "run", "--embedded")
    try:
        daemon.until_says("Stop:")
        body = {"project": "Project1", "flow": "Hello", "params": ["you"], "wait": True}
        url = f"http://127.0.0.1:{port}/api/flow"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as response:
            assert json.load(response)["result"] == ["Hello, you!"]
    finally:
        daemon.process.terminate()
        assert daemon.wait() == 0


def test_the_unit(tmp_path: Path) -> None:
    assert Program(tmp_path, "init", str(tmp_path / "new")).wait() == 0
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(tmp_path / "new/sbusr.service", "utf-8")
    service = unit["Service"]
    assert service["WorkingDirectory"] == str(tmp_path / "new")
    assert service["ExecStart"] == f"{sys.executable} -m sbusr run"
    assert (service["Type"], service["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("mine")
    program = Program(tmp_path, "init", str(tmp_path))
    assert program.wait() == 1
    assert "there is settings.py" in program.text()
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["settings.py"]
    assert (tmp_path / "settings.py").read_text() == "mine"


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    program = Program(tmp_path, "init", str(tmp_path / "file/below"))
    assert program.wait() == 4
    assert "cannot write" in program.text()
