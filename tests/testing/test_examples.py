"""The examples of docs/testing.md, and of the README's section about tests, are tests that pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Run

ROOT = Path(__file__).parents[2]


def examples(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = [
    *examples((ROOT / "docs" / "testing.md").read_text("utf-8")),
    *examples(README[README.index("## Testing your programs") : README.index("## Wheels")]),
]


def names_of(example: str) -> list[str]:
    return re.findall(r"^def (test_\w+)", example, re.MULTILINE)


def test_they_are_there() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: "+".join(names_of(example)))
def test_example(example: str, pytester: pytest.Pytester, run: Run) -> None:
    count = len(names_of(example))
    assert count > 0
    pytester.makepyfile(example)
    pytester.makeconftest(
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef leak_check(smartbus_no_leaks): pass\n"
    )
    run().assert_outcomes(passed=count)
