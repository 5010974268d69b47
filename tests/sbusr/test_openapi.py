"""The description of the HTTP interface is true: schemathesis tries what it says on a daemon."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sbusr import config, globalvars, tokens
from sbusr.openapi import document
from sbusr.tokens import SCOPES, Token
from smartbus.bus import Bus
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Start
from tests.sbusr.peer import Returning

pytestmark = pytest.mark.parametrize("kind", ["net"], indirect=True)

# What counts of a project's or flow's name are bytes in GBK, for which a schema has no word.
NOT_CHECKED = "positive_data_acceptance"

# 504 is right for a flow that is waited for as short as the schema allows.
CONFIG = 'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]'


@pytest.fixture
async def ipsc(bus: Bus) -> AsyncIterator[Returning]:
    """Starts every flow, and returns an empty list at once."""
    client = Returning(bus.port)
    client.results, client.otherwise = {}, b"[]"
    async with client:
        yield client


async def test_description_fits_the_settings(start: Start, settings: config.Settings) -> None:
    daemon = await start()
    assert await daemon.fetch("/openapi.json") == (200, document(tokens=False, rpc=False))
    plain, full = document(tokens=False, rpc=False), document(tokens=True, rpc=True)
    assert set(full["paths"]) - set(plain["paths"]) == {"/api/rpc"}
    assert "securitySchemes" not in plain["components"]
    assert full["paths"]["/api/flow"]["post"]["security"] == [{"bearer": ["flow"]}]
    for path in plain["paths"]:
        assert (await daemon.fetch(path, None, "DELETE"))[0] == 405


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("ipsc")
async def test_schemathesis_finds_nothing(
    start: Start, settings: config.Settings, tmp_path: Path
) -> None:
    settings.web_rpc = True
    settings.flow_ack_timeout = 10
    settings.web_auth = [
        Token(name="all", sha256=tokens.digest("secret"), scopes=list(SCOPES)),
    ]
    daemon = await start()
    await until(lambda: bool(globalvars.ipsc_set))
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"http://127.0.0.1:{daemon.server.http_port}/openapi.json",
        *("--header", "Authorization: Bearer secret"),
        *("--checks", "all", "--exclude-checks", NOT_CHECKED),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"),
        *("--max-time", "20", "--no-shrink", "--request-timeout", "20"),
        cwd=tmp_path,  # it writes there
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
