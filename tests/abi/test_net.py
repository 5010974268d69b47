"""NET.md, row by row."""

from __future__ import annotations

from tests.abi.outcomes import Outcomes
from tests.abi.table import Case, Table
from tests.abi.world import World

TABLE = Table("NET.md")

TABLE.value("5.1", "unit above 47", "SendData", 3, 1, 3, 48, 4, 5, b"", 0, gives=-12)


@TABLE.row("5.1", "negative size is sent as 0")
def _(world: World) -> None:
    assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", -1) == 0
    assert world.peer.frame().data == b""


def test_row(case: Case, outcomes: Outcomes) -> None:
    outcomes.report(case)
