"""TLS, with a certificate that the test makes."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from smartbus.aio.tcp import Client, OneClientServer, TcpClient
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import HOST, LOG, Echo, Inbox, Position, States

if TYPE_CHECKING:
    from pathlib import Path

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=test", "-addext", f"subjectAltName=IP:{HOST}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def contexts(certificate: tuple[Path, Path]) -> Contexts:
    """For the server, and for a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(*certificate)
    return server, ssl.create_default_context(cafile=str(certificate[0]))


async def test_all_kinds_of_data(contexts: Contexts) -> None:
    inbox = Inbox()
    async with OneClientServer(HOST, 0, LOG, ssl=contexts[0], limit=32 << 20) as server:
        client = TcpClient(HOST, server.port, inbox, ssl=contexts[1])
        async with client:
            await soon(server.connected_task)
            assert server._stream is not None
            assert server._stream.get_extra_info("cipher") is not None
            await client.write_str("Grüße")
            assert await soon(server.read_str()) == "Grüße"
            came = Position()
            await client.write_from(Position(1, 2, 3.0))
            await soon(server.read_into(came))
            assert came.value == 3.0
            for number in range(1000):
                await server.write_json(number)
            await inbox.reach(*range(1000))
            text = "z" * (16 << 20)
            writing = asyncio.create_task(client.write_json(text))
            assert await soon(server.read_json()) == text
            await soon(writing)


async def test_the_last_words_arrive(contexts: Contexts) -> None:
    states, inbox = States(), Inbox()
    async with OneClientServer(HOST, 0, LOG, ssl=contexts[0]) as server:
        client = TcpClient(HOST, server.port, inbox, ssl=contexts[1], connect_callback=states)
        async with client:
            await soon(server.connected_task)
            await server.write_json("last")
            await server.close_client()
            await states.reach(True, False)
            await inbox.reach("last")
            assert (client.connected, client.should_be_connected) == (False, True)
            assert not client.done_task.done()
        plain = Client(HOST, server.port, LOG, ssl=contexts[1])
        async with plain:
            await soon(server.connected_task)
            await server.write_str("last")
            await server.close_client()
            await until(lambda: not plain.connected)
            assert await soon(plain.read_str()) == "last"


async def test_a_server_that_nobody_trusts(contexts: Contexts) -> None:
    async with OneClientServer(HOST, 0, LOG, ssl=contexts[0]) as server:
        client = Client(HOST, server.port, LOG, ssl=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.start_task
        await client.close()
        assert not server.connected


async def test_a_second_client_is_refused(contexts: Contexts) -> None:
    async with Echo(port=0, log=LOG, ssl=contexts[0]) as server:
        first = Client(HOST, server.port, LOG, ssl=contexts[1])
        async with first:
            await soon(server.connected_task)
            second = Client(HOST, server.port, LOG, ssl=contexts[1])
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                async with second:
                    await soon(second.readexactly(1))
            await first.write_str("still here")
            assert await soon(first.read_str()) == "still here"
