"""The command ``check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbusr.commands.check import masked
from sbusr.commands.probe import survey
from sbusr.resolver import Resolver
from tests.sbusr.program import Program

Run = Callable[..., Program]


def edit(directory: Path, old: str, new: str) -> None:
    path = directory / "settings.py"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_all_is_well(run: Run, directory: Path) -> None:
    edit(directory, '"authorPwd": None', '"authorPwd": "very secret"')
    program = run("check")
    assert program.wait() == 0
    for text in ("echo(*args)", "sleep(seconds)", '"authorPwd": "********"', "all is well"):
        assert text in program.text()
    assert "very secret" not in program.text()


def test_for_scripts(run: Run, directory: Path) -> None:
    (directory / "methods/more.py").write_text(
        "import sbusr\n\nprint('loud')\n\n"
        "@sbusr.rpc(name='other', timeout=2.5)\ndef own(a, b=1):\n    'Do it.\\n\\nWell.'\n"
    )
    program = run("check", "--json")
    assert program.wait() == 0
    loud, line = program.text().splitlines()
    found = json.loads(line)
    assert loud == "loud"
    assert (found["ok"], found["file"]) == (True, str(directory / "settings.py"))
    assert found["settings"]["SMARTBUS_CONFIG"]["type"] == "net"
    assert found["settings"]["EXECUTOR_CONFIG"]["pool_processes"] == 1
    assert found["methods"][1] == {
        "name": "more.other",
        "signature": "(a, b=1)",
        "doc": "Do it.",
        "timeout": 2.5,
    }
    assert [each["name"] for each in found["methods"]] == ["echo", "more.other", "sleep"]


def test_problems(run: Run, directory: Path) -> None:
    edit(directory, '"pool_processes": 1', '"pool_processes": 0')
    (directory / "methods/broken.py").write_text("import sbusr_test_missing\n")
    program = run("check")
    assert program.wait() == 3
    assert "EXECUTOR_CONFIG.pool_processes: Expected `int` >= 1" in program.text()
    assert "problem in methods.broken: ModuleNotFoundError" in program.text()
    assert 'methods/broken.py", line 1' in program.text()
    assert "echo(*args)" in program.text()
    program = run("check", "--json")
    assert program.wait() == 3
    found = json.loads(program.text())
    assert not found["ok"]
    assert [each["module"] for each in found["problems"]] == ["settings", "methods.broken"]


def test_a_name_that_is_no_setting(run: Run, directory: Path) -> None:
    with (directory / "settings.py").open("a") as file:
        file.write('WEBSERVER_LISTENS = ("my own",)\n')
    program = run("check")
    assert program.wait() == 0
    text = "warning: {}: WEBSERVER_LISTENS is no setting of the daemon; did you mean `{}`?"
    lines = (directory / "settings.py").read_text("utf-8").splitlines()
    place = f"{directory / 'settings.py'}:{len(lines)}"
    assert text.format(place, "WEBSERVER_LISTEN") in program.text()
    daemon = run("-W")
    daemon.until_says(text.partition(": ")[2].format(place, "WEBSERVER_LISTEN"))


# ---- what requests may call ----------------------------------------------------------------------


@pytest.mark.usefixtures("packages")
def test_survey_tells_what_the_resolver_finds() -> None:
    found = survey("rpcmethods")
    assert {each["module"] for each in found["problems"]} == {
        "rpcmethods.broken",
        "rpcmethods.exits",
        "rpcmethods.needs_missing",
    }
    names = [each["name"] for each in found["methods"]]
    resolver = Resolver("rpcmethods")
    assert names
    for name in names:
        assert resolver.resolve(name).name == name


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import os; os._exit(7)", "the process that imports it has ended: exit code 7"),
        ("import threading; threading.Event().wait()", "the import takes longer than 1 s"),
    ],
)
def test_survey_of_methods_that_misbehave(
    code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbusr_test_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    found = survey("sbusr_test_methods", timeout=60 if "exit" in code else 1)
    assert found["methods"] == []
    assert [each["message"] for each in found["problems"]] == [text]


def test_survey_of_odd_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that contains itself, a thread that never ends, a program."""
    package = tmp_path / "sbusr_test_methods"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import threading\n"
        "class A:\n    @staticmethod\n    def f(): pass\n"
        "A.B = A\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
    )
    (package / "__main__.py").write_text("raise SystemExit('this is a program')")
    monkeypatch.syspath_prepend(tmp_path)
    found = survey("sbusr_test_methods")
    assert found["problems"] == []
    assert [each["name"] for each in found["methods"]] == ["A.f"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"authorPwd": "x", "authorUsr": "u"}, {"authorPwd": "********", "authorUsr": "u"}),
        ({"password": None}, {"password": None}),
        ({"a": [{"secret_key": 5}]}, {"a": [{"secret_key": "********"}]}),
        ({"credentials": ["u", "p"]}, {"credentials": ["********", "********"]}),
        ({"WEB_AUTH": {"x": ["y"]}}, {"WEB_AUTH": {"x": ["********"]}}),
    ],
)
def test_secrets_are_masked(value: Any, shown: Any) -> None:
    assert masked(value) == shown
