from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import settings as default_settings
from sbusr import config
from sbusr.busclient import bus_clients
from sbusr.executor import Executor
from sbusr.server import Server
from smartbus.bus import Bus
from smartbus.testing import BusFactory
from smartbus.testing import wait_until_async as until
from tests.ports import free_port
from tests.sbusr.daemon import Daemon, Start
from tests.sbusr.executors import PACKAGES, Make
from tests.sbusr.peer import ScriptedIpsc
from tests.sbusr.program import ECHO_FLOW, METHODS, ROOT, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes ``rpcmethods``, the tests' methods package, importable in this process."""
    monkeypatch.syspath_prepend(PACKAGES)
    yield PACKAGES
    for name in [name for name in sys.modules if name.split(".")[0] == "rpcmethods"]:
        del sys.modules[name]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Starts executors and stops them in the end."""
    made = []

    async def start(*args: Any, **kwargs: Any) -> Executor:
        options = {"methods": "rpcmethods", "methods_path": PACKAGES, **kwargs}
        executor = Executor(*args, **options)
        made.append(executor)
        executor.start()
        return executor

    yield start
    for executor in made:
        await executor.aclose(timeout=0.1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with settings on free ports, methods and a flow."""
    text = (ROOT / "settings.py").read_text("utf-8")
    text = text.replace('"masterPort": 8089', f'"masterPort": {free_port()}')
    text = text.replace("(8080,", f"({free_port()},")
    (tmp_path / "settings.py").write_text(text, "utf-8")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/__init__.py").write_text(METHODS, "utf-8")
    (tmp_path / "flows/P").mkdir(parents=True)
    (tmp_path / "flows/P/Echo.py").write_text(ECHO_FLOW % ("echo", "params"), "utf-8")
    (tmp_path / "flows/P/Sleep.py").write_text(ECHO_FLOW % ("sleep", "params"), "utf-8")
    return tmp_path


@pytest.fixture
def run(directory: Path) -> Iterator[Callable[..., Program]]:
    """Starts programs and kills what is left in the end."""
    programs = []

    def begin(*args: str, **more: Any) -> Program:
        program = Program(directory, *args, **more)
        programs.append(program)
        return program

    yield begin
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


# ---- a daemon in this process --------------------------------------------------------------------


@pytest.fixture(params=["net", "ipc"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the daemon is connected: the ``type`` of its settings."""
    kind = str(request.param)
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", str(tmp_path / "socket"))
    monkeypatch.setitem(default_settings.SMARTBUS_CONFIG, "type", kind)
    monkeypatch.setattr(ScriptedIpsc, "daemon", (19, 0) if kind == "net" else (0, 19))
    return kind


@pytest.fixture
def bus(kind: str, tmp_path: Path, smartbus_bus_factory: BusFactory) -> Bus:
    return smartbus_bus_factory(ipc_path=tmp_path / "socket")


@pytest.fixture
def settings(bus: Bus, tmp_path: Path) -> config.Settings:
    found = config.check(default_settings)
    if isinstance(found.bus, config.NetSettings):
        found.bus.clients[0].master_port = bus.port
    found.web_listen = (0, "127.0.0.1")
    found.flow_ack_timeout = 0.3
    return found


@pytest.fixture
async def start(settings: config.Settings) -> AsyncIterator[Start]:
    """Starts a daemon and stops it in the end."""
    async with AsyncExitStack() as cleanup:

        async def begin(**args: Any) -> Daemon:
            connected = args.pop("connected", True)
            options = {"verbose": False, "no_web_server": False, "embedded": False, **args}
            daemon = Daemon(Server(settings, Namespace(**options)))
            task = asyncio.create_task(daemon.server.serve())

            async def end() -> None:
                daemon.http.close()
                daemon.server.stop()
                await task

            cleanup.push_async_callback(end)
            await until(
                lambda: (
                    task.done()
                    or (bus_clients() and not connected)
                    or any(client.connected for client in bus_clients())
                )
            )
            if task.done():
                await task
            return daemon

        yield begin
    assert bus_clients() == []
