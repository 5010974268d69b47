from __future__ import annotations

import pytest

from sbusr.browsers import host_of, is_cross_site, is_loopback, names_this_machine


@pytest.mark.parametrize(
    ("fields", "cross"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://h:1"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "whatever"}, True),
        ({"Origin": "http://h:1"}, False),
        ({"Origin": "https://H:1"}, False),
        ({"Origin": "http://h:2"}, True),
        ({"Origin": "http://other"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "http://["}, True),
    ],
)
def test_pages_of_others(fields: dict[str, str], cross: bool) -> None:
    assert is_cross_site({"Host": "h:1", **fields}) is cross


@pytest.mark.parametrize(
    ("host", "name", "good"),
    [
        ("localhost:8080", "localhost", True),
        ("LOCALHOST", "localhost", True),
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("[::1]:8080", "::1", True),
        ("evil.example:8080", "evil.example", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("", "", False),
        ("[", "", False),
    ],
)
def test_hosts(host: str, name: str, good: bool) -> None:
    assert host_of({"Host": host}) == name
    assert names_this_machine(name) is good


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "example.com")))
