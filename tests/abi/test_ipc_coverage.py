"""Every section of IPC.md has its rows, here or elsewhere."""

from __future__ import annotations

from tests.abi.coverage import without_rows, without_section

#: Sections that speak of clients, and the tables that have their rows.
SECTIONS = {
    "1": ("01_frames",),
    "2": ("01_frames",),
    "2.1": ("01_frames",),
    "2.2": ("03_connection",),
    "3.1": ("03_connection",),
    "3.2": ("03_connection",),
    "4": ("03_connection",),
    "5": ("05_commands",),
    "5.1": ("05_bodies",),
    "5.2": ("07_flows",),
    "5.3": ("07_flows",),
    "5.4": ("05_bodies",),
    "5.5": ("05_commands",),
    "7": ("07_calls",),
    "7.1": ("07_callbacks",),
    "7.2": ("07_calls",),
    "7.3": ("07_flows",),
    "7.4": ("07_callbacks", "07_calls"),
}

#: The others, and why they have none.
ELSEWHERE = {
    "3": "a title",
    "6": "the server: tests/bus/test_local.py and native/tests/bus_local_test.c",
    "8": "compares with NET.md: statements of other sections, in the tables of both documents",
    "9": "what nobody knows",
}


def test_every_section_has_rows() -> None:
    assert not without_rows("ipc", SECTIONS)


def test_every_row_has_a_section() -> None:
    assert not without_section("ipc", SECTIONS)
    assert not SECTIONS.keys() & ELSEWHERE.keys()
