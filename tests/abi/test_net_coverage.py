"""Every section of NET.md has its rows, here or elsewhere."""

from __future__ import annotations

from tests.abi.coverage import without_rows, without_section

#: Sections that speak of clients, and the tables that have their rows.
SECTIONS = {
    "1": ("01_frames",),
    "1.1": ("01_frames",),
    "1.2": ("01_frames",),
    "1.3": ("01_frames",),
    "1.4": ("01_frames",),
    "2": ("02_registration",),
    "2.1": ("02_registration",),
    "2.2": ("02_registration",),
    "2.4": ("02_registration",),
    "2.5": ("02_registration",),
    "3.1": ("02_registration",),
    "3.2": ("02_registration",),
    "3.3": ("02_registration",),
    "4": ("04_events",),
    "5.1": ("05_data",),
    "5.2": ("05_data",),
    "6": ("05_data",),
    "7.1": ("07_calls",),
    "7.2": ("07_answers",),
    "7.3": ("07_answers",),
    "7.4": ("07_answers",),
    "8": ("08_notify",),
    "9.1": ("09_life",),
    "9.2": ("09_life",),
    "9.3": ("09_links",),
    "9.4": ("09_links",),
    "9.5": ("09_callbacks",),
    "9.6": ("09_callbacks",),
    "9.7": ("09_traces",),
    "10": ("10_interface",),
    "10.1": ("10_interface",),
    "10.2": ("10_interface",),
    "10.3": ("10_interface",),
}

#: The others, and why they have none.
ELSEWHERE = {
    "2.3": "a 32-bit sender: tests/unit/test_wire_vectors.py and the -m32 build of the core",
    "3": "a title",
    "5": "a title",
    "7": "a title",
    "9": "a title",
    "11": "the server: tests/bus and native/tests/bus_*_test.c",
    "12": "says which of all these to keep and which to improve: the rows' `vendor`",
    "13": "what nobody knows",
}


def test_every_section_has_rows() -> None:
    assert not without_rows("net", SECTIONS)


def test_every_row_has_a_section() -> None:
    assert not without_section("net", SECTIONS)
    assert not SECTIONS.keys() & ELSEWHERE.keys()
