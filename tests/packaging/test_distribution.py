"""Source distribution and wheel: built, looked into, installed and used."""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import smartbus
from sbusr.commands import init
from tools.build_wheel import ROOT

from .conftest import READY, CleanEnvironment, build, only, run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.name != "posix", reason="the core is for POSIX systems"),
]

LIBRARY = "smartbus/_c/libsmartbus_core" + (".dylib" if sys.platform == "darwin" else ".so")
PREFIX = f"smartbus_client_python-{smartbus.__version__}"

#: A user's test, which finds the plugin without being told of it.
USERS_TEST = """
import sys
import smartbus
from sbusr.commands import init

def test(smartbus_bus, smartbus_ipsc, smartbus_client):
    assert smartbus.__file__.startswith(sys.prefix)
    smartbus_ipsc.write("P", "F", "result = params")
    assert smartbus_client.call_flow("P", "F", [1]) == [1]
"""

#: The asyncio client and the stand-in IPSC, which need no C, over one another.
USE_AIO = """
import asyncio
from smartbus.aio import SmartBusClient
from smartbus.wire import Cmd, CmdType, FrameParser, RegistrationAck, encode_frame

async def serve(reader, writer):
    parser = FrameParser()
    while data := await reader.read(65536):
        for frame in parser.feed(data):
            if (frame.cmd_type, frame.cmd) == (CmdType.LINK, Cmd.REGISTER):
                writer.write(RegistrationAck(0).encode(0, frame.src))
            elif frame.cmd_type == CmdType.USER:
                writer.write(encode_frame((21, 0, 5), frame.src, 9, CmdType.USER, frame.data))
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with SmartBusClient("127.0.0.1", port, 20, 0, 20) as client:
        client.send_data(1, 3, 21, 0, -1, b"there and back")
        print((await asyncio.wait_for(client.receive(), 20)).data.decode())
    server.close()
    await server.wait_closed()

asyncio.run(main())
"""

LOAD_CORE = f"""
import ctypes, pathlib, smartbus
library = pathlib.Path(smartbus.__file__).parents[1] / {LIBRARY!r}
core = ctypes.CDLL(str(library))
core.sb_version.restype = ctypes.c_char_p
print(smartbus.__version__, core.sb_version().decode())
"""


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def python_files(package: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}


def test_sdist_has_all_sources_and_no_build_results(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    native = {
        path.relative_to(ROOT).as_posix()
        for place in (".", "include", "src", "tests", "fuzz", "fuzz/corpus/*")
        for path in (ROOT / "native").glob(f"{place}/*")
        if path.is_file()
    }
    expected = native.union(*map(python_files, ("smartbus", "sbusr", "methods", "tests")))
    expected |= {"LICENSE", "Makefile", "README.md", "requirements.txt", "smartbus/py.typed"}
    assert sorted(expected - files) == []
    assert [name for name in files if name.endswith((".so", ".dylib", ".o", ".pyc"))] == []


def test_wheel_is_for_the_platform_and_any_python(wheel: Path) -> None:
    distribution, version, python, abi, platform = wheel.stem.split("-")
    assert (distribution, version) == ("smartbus_client_python", smartbus.__version__)
    assert (python, abi) == ("py3", "none")
    # pip builds for this machine; only what is to be published is named after what it needs.
    linux = "manylinux" if READY is not None else "linux_"
    assert platform.startswith((linux, "macosx_"))


def test_wheel_holds_the_two_packages_and_the_core(wheel: Path) -> None:
    files = {name for name in names_in(wheel) if ".dist-info/" not in name}
    expected = python_files("smartbus") | python_files("sbusr")
    expected |= {f"sbusr/templates/{name}.txt" for name, _ in init.FILES.values()}
    assert files == expected | {LIBRARY, "smartbus/py.typed", "sbusr/py.typed"}


def test_core_knows_nothing_of_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        core = archive.read(LIBRARY)
    assert b"sb_version" in core
    assert b"PyInit" not in core
    assert b"libpython" not in core
    assert sys.base_prefix.encode() + b"/lib" not in core


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"{PREFIX}.dist-info/METADATA"))
    assert metadata["Name"] == "smartbus-client-python"
    assert metadata["Version"] == smartbus.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == {"daemon", "dev", "test", "vendor"}
    requirements = metadata.get_all("Requires-Dist", [])
    assert [line for line in requirements if "extra ==" not in line] == []


def test_wheel_works_in_a_clean_environment(wheel: Path, clean: CleanEnvironment) -> None:
    clean.install(wheel)
    assert clean.run(LOAD_CORE) == f"{smartbus.__version__} {smartbus.__version__}"


def test_wheel_brings_the_pytest_plugin(wheel: Path, clean: CleanEnvironment) -> None:
    clean.install(wheel)
    clean.borrow_packages()
    (clean.directory / "test_users.py").write_text(USERS_TEST)
    for options in ([], ["-n", "2"], ["-p", "smartbus.testing"]):
        output = clean.pytest(*options, "-p", "no:asyncio", "test_users.py")
        assert "1 passed" in output
    output = clean.pytest("-p", "no:smartbus.testing", "test_users.py", code=1)
    assert "fixture 'smartbus_bus' not found" in output


def test_editable_installation_has_the_core_in_place(
    sources: Path, tmp_path: Path, clean: CleanEnvironment
) -> None:
    hook = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    result = run_python("-c", hook, tmp_path, cwd=sources)
    assert result.returncode == 0, result.stdout
    assert (sources / LIBRARY).is_file()
    clean.install(only(tmp_path, "*.whl"))
    assert clean.run(LOAD_CORE) == f"{smartbus.__version__} {smartbus.__version__}"
    location = Path(clean.run("import smartbus; print(smartbus.__file__)"))
    assert location.is_relative_to(sources)


@pytest.mark.parametrize("compiler", ["false", "/nonexistent/cc"])
def test_without_a_compiler_it_installs_with_a_warning(
    sources: Path, tmp_path: Path, clean: CleanEnvironment, compiler: str
) -> None:
    result = build("wheel", sources, tmp_path, CC=compiler)
    assert result.returncode == 0, result.stdout
    assert "The C core of SmartBus could not be built" in result.stdout
    wheel = only(tmp_path, "*.whl")
    assert wheel.name == f"{PREFIX}-py3-none-any.whl"
    assert LIBRARY not in names_in(wheel)
    clean.install(wheel)
    assert clean.run(USE_AIO) == "there and back"
    result = run_python(
        "-I", "-m", "smartbus", "info", cwd=clean.directory, python=clean.interpreter
    )
    assert result.returncode == 1
    assert "C compiler" in result.stdout
    assert "reinstall" in result.stdout


def test_a_core_of_an_earlier_build_is_not_taken_for_a_new_one(
    sources: Path, tmp_path: Path
) -> None:
    assert build("wheel", sources, tmp_path / "good").returncode == 0
    source = only(sources / "native" / "src", "wire.c")
    source.write_text(source.read_text() + "\n#error broken\n")
    result = build("wheel", sources, tmp_path / "broken")
    assert result.returncode == 0, result.stdout
    assert LIBRARY not in names_in(only(tmp_path / "broken", "*.whl"))


def test_the_core_can_be_demanded(sources: Path, tmp_path: Path) -> None:
    result = build("wheel", sources, tmp_path, CC="false", SMARTBUS_BUILD_CORE="1")
    assert result.returncode != 0
    assert "The C core of SmartBus could not be built" in result.stdout
    assert list(tmp_path.glob("*.whl")) == []


def test_the_core_can_be_left_out(sources: Path, tmp_path: Path) -> None:
    result = build("wheel", sources, tmp_path, CC="false", SMARTBUS_BUILD_CORE="0")
    assert result.returncode == 0, result.stdout
    assert "could not be built" not in result.stdout
    assert LIBRARY not in names_in(only(tmp_path, f"{PREFIX}-py3-none-any.whl"))


def test_other_wishes_are_refused(sources: Path, tmp_path: Path) -> None:
    result = build("wheel", sources, tmp_path, SMARTBUS_BUILD_CORE="yes")
    assert result.returncode != 0
    assert "SMARTBUS_BUILD_CORE is 0, 1 or nothing, not 'yes'" in result.stdout
