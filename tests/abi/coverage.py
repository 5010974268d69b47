"""That every section of a document has rows in its tables, or a reason to have none."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

#: Sections, and the tables that have their rows, by file name.
Sections = Mapping[str, tuple[str, ...]]


def _tables(family: str) -> dict[str, set[str]]:
    """The sections of each table."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in Path(__file__).parent.glob(f"test_{family}_[0-9]*.py"):
        table = importlib.import_module(f"tests.abi.{path.stem}").TABLE
        found[path.stem.removeprefix(f"test_{family}_")] = {row.section for row in table.rows}
    return found


def without_rows(family: str, sections: Sections) -> list[tuple[str, str]]:
    """Tables and sections of which the one should have rows of the other, and has none."""
    tables = _tables(family)
    return [
        (name, section)
        for section, names in sections.items()
        for name in names
        if section not in tables[name]
    ]


def without_section(family: str, sections: Sections) -> list[tuple[str, str]]:
    """Tables and sections of which the one has rows of the other, and should not."""
    return [
        (name, section)
        for name, found in _tables(family).items()
        for section in found
        if name not in sections.get(section, ())
    ]
