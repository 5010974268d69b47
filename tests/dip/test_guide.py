"""docs/dip.md: its examples and tables are true, and the seed's quick start runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from smartbus.dip import errors, proto
from smartbus.testing import wait_until
from tests.dip.peers import DEADLINE, ROOT
from tests.library.guides import Guide, run

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = Guide("dip.md")


def test_every_example_is_tested() -> None:
    assert DOCUMENT.has_only_examples()


@pytest.mark.parametrize("number", range(len(DOCUMENT.examples)))
def test_example(number: int, tmp_path: Path) -> None:
    source, expected = DOCUMENT.examples[number]
    out, complaints, code = run(source, tmp_path, os.environ)
    assert (out, code) == (expected, 0)
    # Without a handler, logging writes warnings and worse to standard error.
    assert bool(complaints) == ("raise ValueError" in source)


def test_the_table_of_protocols() -> None:
    named = set(re.findall(r"`(\w+(?:Protocol|ProtoV2|Proto))`", DOCUMENT.text))
    assert named == set(proto.__all__) - {"PickleProtocl", "Protocol"}


def test_the_table_of_errors() -> None:
    section = DOCUMENT.text[DOCUMENT.text.index("| error | when") :]
    named = set(re.findall(r"`(\w+)`", section[: section.index("All but the last")]))
    bases = {"DeepFOSError", "DeepFOSIOError", "DeepFOSConnectionError", "ProtocolError"}
    others = {"DuplicateProtoError", "ProtoDecodeError"}  # of registering and of the server
    assert named - {"TypeError", "OSError", "timeout"} == set(errors.__all__) - bases - others


# ---- the seed's quick start, word for word ------------------------------------------------

SERVER = """
from smartbus.dip import Server
import asyncio

def cb(req, mtype, data):
    print(data['hello'])

server = Server('/tmp/run.sock', callback=cb)
asyncio.run(server.serve_forever())
"""
CLIENT = """
from smartbus.dip import Client

cli = Client('/tmp/run.sock')
cli.send_json({'hello': 'world'})
"""
MAPPING = """
from smartbus.dip import Protocol
from smartbus.dip import errors

class StringMappingProto(Protocol, mtype=b'S'):
    MAP = {
        'Hello World': b'h',
    }
    MAP_REV = {
        v: k for k, v in MAP.items()
    }
    
    @classmethod
    def decode_body(cls, buf: memoryview) -> str:
        data = cls.MAP_REV.get(buf.tobytes())
        if data is not None:
            return data
        else:
            raise errors.ProtoDecodeError(f'Cannot decode byte: {buf!r}')

    @classmethod
    def encode_body(cls, data: str)  -> bytes:
        compressed = cls.MAP.get(data)
        if compressed is not None:
            return compressed
        else:
            raise errors.ProtoEncodeError(f'Cannot encode string: {data!r}')
"""  # noqa: W293 - as it stands there
INSIDE_A_LOOP = """
import asyncio
async def main():
    cli = Client('/tmp/run.sock')
    cli.send_json({'hello': 'world'})
    await cli.send_json({'hello': 'world'})
    cli.quit()
asyncio.run(main())
"""


def test_the_quick_start(path: str) -> None:
    def python(source: str) -> list[str]:
        # Elsewhere only so that tests do not meet.
        return [sys.executable, "-u", "-W", "error", "-c", source.replace("/tmp/run.sock", path)]  # noqa: S108

    mapped = MAPPING + SERVER.replace("data['hello']", "data if mtype == 'S' else data['hello']")
    with subprocess.Popen(python(mapped), cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for source in (
            CLIENT,
            CLIENT.splitlines()[1] + INSIDE_A_LOOP,
            MAPPING + CLIENT + "cli.send_msg('S', 'Hello World')",
        ):
            wait_until(lambda: os.path.exists(path), DEADLINE)
            subprocess.run(python(source), cwd=ROOT, check=True, timeout=DEADLINE)
        lines = [server.stdout.readline() for _ in range(5)]
        server.terminate()
    assert lines == ["world\n"] * 4 + ["Hello World\n"]
