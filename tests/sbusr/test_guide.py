"""docs/methods.md: its example works, and its table of errors is complete."""

from __future__ import annotations

import re
from pathlib import Path

from sbusr import jsonrpc
from tests.sbusr.executors import Make
from tests.sbusr.program import ROOT
from tests.sbusr.sink import Sink, head, request

GUIDE = (ROOT / "docs/methods.md").read_text("utf-8")


async def test_the_example(make: Make, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    package = tmp_path / "guidemethods"
    package.mkdir()
    (package / "__init__.py").write_text(example, "utf-8")
    executor = await make(pool_processes=1, methods="guidemethods", methods_path=tmp_path)
    sink = Sink()
    bodies = [
        request("add", [1, 2], 1),
        request("add", {"a": 5}, 2),
        request("both", [3, 4], 3),
        request("today", {"plus": 1}, 4),
        request("read_date", [], 5),
    ]
    executor.put_many(sink, [(head(), body) for body in bodies])
    await sink.wait(5)
    results = sink.results()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", results.pop("4"))
    assert results == {"1": 3, "2": 5, "3": [3, 4], "5": "error -32601"}


def test_every_error_code_is_in_the_table() -> None:
    codes = {value for name, value in vars(jsonrpc).items() if name.isupper()}
    codes |= {-32700, -32600, -32601, -32602}
    assert {int(code) for code in re.findall(r"-32\d{3}", GUIDE)} == codes
