"""Tables of what a document says about a C interface: one row, one statement, one test.

A row is a function that gets a `World` and asserts. It names the document's section and
says in a few words what holds, so that ``pytest -v`` reads like the document::

    TABLE = Table("NET.md")

    @TABLE.row("5.1", "negative size is sent as 0")
    def _(world: World) -> None:
        assert world.library.call("SendData", 3, 1, 3, 20, 4, 5, b"x", -1) == 0
        assert world.peer.frame().data == b""

    def test_row(case: Case, outcomes: Outcomes) -> None:
        outcomes.report(case)

The last two lines stand in the test module, where the table must be named ``TABLE``.

- Rows run over the core and, where it exists, the vendor's library, through plain C calls.
- Without more, a row gets a world that it shares with others, one after the other: all
  callbacks set with the argument `ARG`, initialised, and one client, `CLIENT`, registered at
  ``world.server`` over ``world.peer`` (see `World.begin`). It must leave no event and no frame
  behind, nor other clients. If it fails, the next row gets a new world.
- ``fresh=True``: a process of its own, in which nothing was called yet.
- ``slow=True``: likewise, and it takes seconds, most of which it waits.
- ``vendor="…"``: the row runs over the core only, because it is better; the text says what
  the vendor's library does.

All selected rows run before the first of them is reported (`outcomes.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.abi.world import World

__all__ = ["Case", "Row", "Table"]

Run = Callable[[World], None]


class Row(NamedTuple):
    """One statement."""

    family: str
    section: str
    name: str
    run: Run
    #: Wants a process of its own.
    fresh: bool
    #: Mostly waits.
    slow: bool
    #: What the vendor's library does instead, if it does not the same.
    vendor: str


class Case(NamedTuple):
    """One row over one library."""

    kind: str
    row: Row

    @property
    def id(self) -> str:
        """As pytest shows it."""
        return f"{self.kind}-{self.row.section}-{self.row.name.replace(' ', '-')}"


class Table:
    """The rows of one document, in order."""

    def __init__(
        self, document: str, family: str = "net", libraries: tuple[str, ...] = ("core", "vendor")
    ) -> None:
        """Begin a table.

        Args:
            document: Its name.
            family: Which functions it is about: "net" or "ipc".
            libraries: What there is to run.
        """
        self.document = document
        self.rows: list[Row] = []
        self._family = family
        self._libraries = libraries

    def row(
        self,
        section: str,
        name: str,
        *,
        fresh: bool = False,
        slow: bool = False,
        vendor: str = "",
    ) -> Callable[[Run], Run]:
        """Decorate a row's function; the module's docstring explains the arguments."""

        def add(run: Run) -> Run:
            taken = any((row.section, row.name) == (section, name) for row in self.rows)
            assert not taken, f"{section} {name} is there twice"
            alone = fresh or slow
            self.rows.append(Row(self._family, section, name, run, alone, slow, vendor))
            return run

        return add

    def cases(self) -> list[Case]:
        """Return every row with every library that it runs over."""
        return [
            Case(kind, row)
            for row in self.rows
            for kind in self._libraries
            if kind != "vendor" or not row.vendor
        ]
