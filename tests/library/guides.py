"""Examples of a guide: programs, and below each what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smartbus.testing.waiting import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]


class Guide:
    """A file in ``docs``."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text("utf-8")
        self.examples: list[tuple[str, str]] = re.findall(
            r"^```python\n(.*?)^```\n```text\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL
        )

    def title(self, example: tuple[str, str]) -> str:
        """The heading above an example."""
        above = self.text[: self.text.index(example[0])]
        return str(re.findall(r"^#+ (.*)$", above, re.MULTILINE)[-1])

    def has_only_examples(self) -> bool:
        """Whether there is no program without its output."""
        return len(self.examples) == self.text.count("```python\n") > 0


def run(source: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, str, int]:
    """Run a program in `folder`; return what it printed, its complaints, its exit code."""
    script = folder / "example.py"
    script.write_text(source, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode
