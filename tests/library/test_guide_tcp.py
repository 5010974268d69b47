"""docs/tcp.md: its examples run and print what it says; it names everything public."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

import pytest

from smartbus.aio import tcp
from tests.library.guides import Guide, run

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = Guide("tcp.md")


def test_every_example_is_tested() -> None:
    assert GUIDE.has_only_examples()


@pytest.mark.parametrize("example", GUIDE.examples, ids=GUIDE.title)
def test_example(example: tuple[str, str], tmp_path: Path) -> None:
    source, expected = example
    assert run(source, tmp_path, os.environ) == (expected, "", 0)


CLASSES = (tcp.Client, tcp.TcpClient, tcp.OneClientServer, tcp.OneClientReadLoopServer)


@pytest.mark.parametrize("cls", CLASSES)
def test_arguments_are_named(cls: type) -> None:
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and cls is not tcp.TcpClient:
            assert f"`{parameter.name}`" in GUIDE.text or parameter.name in SHARED


#: Of `OneClientReadLoopServer`, where they are upstream's.
SHARED = {"port", "host", "log", "connect_callback", "name", "encoding", "terminator"}


#: The seed document's members of TcpClient, with their arguments.
PROMISED = {
    "basic_close": "",
    "call_connect_callback": "",
    "close": "",
    "connect": "timeout",
    "read": "n",
    "read_into": "struct",
    "read_json": "",
    "read_str": "",
    "readexactly": "n",
    "readline": "",
    "readuntil": "separator",
    "start": "kwargs",
    "write": "data",
    "write_from": "structs",
    "write_json": "data",
    "write_message": "msg_type msg_name msg_details comp_name",
    "write_str": "line",
    "writelines": "lines",
}
TCP_CLIENT = (
    "host port callback_process_message args log sequence_generator name check_message_rate"
)
CLIENT = (
    "host port log connect_callback monitor_connection_interval name encoding terminator"
    " run_heartbeat_send_task heartbeat_send_sleep"
)
SERVER = "host port log connect_callback monitor_connection_interval name encoding terminator"


@pytest.mark.parametrize("name", PROMISED)
def test_promised_methods(name: str) -> None:
    method = getattr(tcp.TcpClient, name)
    assert inspect.iscoroutinefunction(method)
    assert list(inspect.signature(method).parameters) == ["self", *PROMISED[name].split()]


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [(tcp.TcpClient, TCP_CLIENT), (tcp.Client, CLIENT), (tcp.OneClientServer, SERVER)],
)
def test_promised_arguments(cls: type, arguments: str) -> None:
    """By position; what we added comes behind, by keyword and with defaults."""
    names = arguments.split()
    parameters = list(inspect.signature(cls).parameters.values())
    assert [parameter.name for parameter in parameters[: len(names)]] == names
    for parameter in parameters[len(names) : -1]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD


def test_all_weaknesses_are_in_the_table() -> None:
    assert [f"| T{number} |" in GUIDE.text for number in range(1, 16)] == [True] * 15
