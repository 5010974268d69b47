"""The examples of the guides: Python that is followed by what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.net.recorder import DEADLINE

ROOT = Path(__file__).parents[2]


class Guide:
    """A document with examples."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text("utf-8")
        self.examples: list[tuple[str, str]] = re.findall(
            r"^```python\n(.*?)^```\n```text\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL
        )

    @property
    def complete(self) -> bool:
        """Whether all Python in it is an example."""
        return len(self.examples) == self.text.count("```python\n") > 0

    def title(self, example: tuple[str, str]) -> str:
        """The heading above an example."""
        above = self.text[: self.text.index(example[0])]
        return str(re.findall(r"^#+ (.*)$", above, re.MULTILINE)[-1])


def run(source: str, directory: Path, **environment: str) -> tuple[str, list[str], int]:
    """Run an example; return what it prints, its complaints, its exit code."""
    script = directory / "example.py"
    script.write_text(source, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    # The vendor's library also traces what the examples provoke.
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("library: ")]
    return done.stdout, complaints, done.returncode
