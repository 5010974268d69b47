"""Where mistakes in the settings are, and what was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sbusr import config, mistakes
from tests.sbusr.program import ROOT

Edit = Callable[[str, str], ModuleType]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Makes a settings module from the default settings with one text replaced."""

    def edit(old: str, new: str) -> ModuleType:
        text = (ROOT / "settings.py").read_text("utf-8")
        assert old in text
        return module(tmp_path, text.replace(old, new, 1))

    return edit


def module(directory: Path, text: str) -> ModuleType:
    path = directory / "settings.py"
    path.write_text(text, "utf-8")
    made = ModuleType("settings")
    made.__file__ = str(path)
    exec(compile(text, path, "exec"), made.__dict__)  # noqa: S102 - as an import does
    return made


def line_of(made: ModuleType, text: str) -> int:
    lines = Path(made.__file__ or "").read_text("utf-8").splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if text in line]
    return number


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"queue_maxsize"',
            '"queue_max_size"',
            "EXECUTOR_CONFIG: unknown field `queue_max_size`; did you mean `queue_maxsize`?",
        ),
        (
            '"masterPort"',
            '"masterport"',
            "SMARTBUS_CONFIG.clients[0]: unknown field `masterport`; did you mean `masterPort`?",
        ),
        (
            '"masterPort": 8089',
            '"masterPort": "8089"',
            "SMARTBUS_CONFIG.clients[0].masterPort: Expected `int`, got `str`",
        ),
        ('"pool_processes"', '"colour"', "EXECUTOR_CONFIG: unknown field `colour`"),
        ('(8080, "127.0.0.1")', "(8080, 5)", "WEBSERVER_LISTEN[1]: Expected `str`, got `int`"),
        ('"type": "net"', '"type": "nets"', "SMARTBUS_CONFIG.type: 'nets' is neither"),
        ("NOTIFY_TTL = 10000", "NOTIFY_TTL = 0 ", "SMARTBUS_NOTIFY_TTL: Expected `float` > 0"),
    ],
)
def test_the_line_and_what_was_meant(edited: Edit, old: str, new: str, said: str) -> None:
    made = edited(old, new)
    with pytest.raises(config.SettingsError) as caught:
        config.check(made)
    expected = f"{made.__file__}:{line_of(made, new)}: {said}"
    assert str(caught.value).replace("Object contains ", "")[: len(expected)] == expected
    assert ("did you mean" in str(caught.value)) == ("did you mean" in said)


def test_a_name_with_a_slip(edited: Edit) -> None:
    made = edited("EXECUTOR_CONFIG", "EXECUTER_CONFIG")
    with pytest.raises(config.SettingsError) as caught:
        config.check(made)
    assert str(caught.value).endswith("EXECUTOR_CONFIG is missing; is it `EXECUTER_CONFIG`?")


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("A = 1\nA = {\n'x': 1}", ("x",), 3),
        ("A = {\n'x': 1}\nA['x'] = 2", ("x",), 3),
        ("A = {\n'x': 1}\nA['y'] = 2", ("x",), 2),
        ("A = {}\nA['x'] = {\n'y': [0,\n1]}", ("x", "y", 1), 4),
        ("A = dict(\nx=1)", ("x",), 2),
        ("A: dict = {\n'x': 1}", ("x",), 2),
        ("def f(): return {'x': 1}\nA = f()", ("x",), 2),
        ("if True:\n  A = {**{}, \n'x': 1}", ("x",), 3),
        ("A = [1]", (5,), 1),
    ],
)
def test_lines(text: str, path: tuple[Any, ...], line: int, tmp_path: Path) -> None:
    made = module(tmp_path, text)
    assert mistakes.place(made, "A", path) == f"{made.__file__}:{line}"


def test_no_line_is_known(tmp_path: Path) -> None:
    made = module(tmp_path, "A = 1")
    assert mistakes.place(made, "B") == made.__file__
    assert mistakes.place(ModuleType("other"), "B") == "other"
    (tmp_path / "settings.py").unlink()
    assert mistakes.place(made, "A") == made.__file__


def test_strays(tmp_path: Path) -> None:
    made = module(tmp_path, "KNOWN = 1\nKNOWM = 2\nOTHER = 3\n_PRIVATE = 4\nlower = 5")
    assert list(mistakes.strays(made, ["KNOWN"])) == [
        (
            f"{made.__file__}:2: KNOWM is no setting of the daemon; did you mean `KNOWN`?",
            "; did you mean `KNOWN`?",
        ),
        (f"{made.__file__}:3: OTHER is no setting of the daemon", ""),
    ]
