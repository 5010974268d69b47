from __future__ import annotations

import pickle
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from smartbus._c import lookup
from smartbus.errors import LibraryNotFoundError

CORE = str(lookup.core_path())


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No library under the vendor's name on the loader's path, whatever this machine has."""
    monkeypatch.setattr(lookup, "VENDOR_NAME", "busnetcli-that-nobody-has")


def test_the_core_is_found_by_default(system: None) -> None:
    assert lookup.find(environ={}) == lookup.Found(CORE, "bundled", is_core=True)


def test_words() -> None:
    assert lookup.find("core", {}).path == CORE
    assert lookup.find("", {lookup.ENVIRONMENT: "core"}).path == CORE


def test_given_path_comes_before_the_environment(tmp_path: Path) -> None:
    copy = shutil.copy(CORE, tmp_path / "mine.so")
    found = lookup.find(str(copy), {lookup.ENVIRONMENT: "/nowhere/at/all.so"})
    assert found == lookup.Found(str(copy), "lib_path", is_core=True)


def test_the_environment_comes_before_the_rest(tmp_path: Path) -> None:
    copy = shutil.copy(CORE, tmp_path / "mine.so")
    found = lookup.find("", {lookup.ENVIRONMENT: str(copy)})
    assert found == lookup.Found(str(copy), "environment", is_core=True)


@pytest.mark.parametrize("name", [lookup.VENDOR_NAME, lookup.CORE_NAME])
def test_a_directory_will_do(tmp_path: Path, name: str) -> None:
    copy = shutil.copy(CORE, tmp_path / lookup.file_name(name))
    assert lookup.find(str(tmp_path), {}).path == str(copy)


def test_an_empty_directory_will_not(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFoundError, match="directory without libbusnetcli"):
        lookup.find(str(tmp_path), {})


@pytest.mark.parametrize("source", ["lib_path", "environment"])
def test_a_given_path_is_not_replaced_by_something_else(tmp_path: Path, source: str) -> None:
    bad = tmp_path / "bad.so"
    bad.write_bytes(b"this is no library")
    given = str(bad) if source == "lib_path" else ""
    with pytest.raises(LibraryNotFoundError) as caught:
        lookup.find(given, {lookup.ENVIRONMENT: str(bad)})
    assert [what for what, _ in caught.value.tried] == [f"{source} {bad}"]
    assert "file too short" in caught.value.tried[0][1] or "invalid" in caught.value.tried[0][1]


def test_a_library_of_something_else_is_refused(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text("int SmartBusNetCli_Init(unsigned char unit) { return unit; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    with pytest.raises(LibraryNotFoundError, match="lacks SmartBusNetCli_Release"):
        lookup.find(str(library), {})


def test_a_failure_lists_everything_that_was_tried(
    system: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "CORE_NAME", "core-that-nobody-built")
    monkeypatch.setattr(lookup, "VENDOR_WHEEL", "wheel-that-nobody-installed")
    with pytest.raises(LibraryNotFoundError) as caught:
        lookup.find(environ={})
    tried = caught.value.tried
    assert len(tried) == 3
    assert tried[0][0] == "system libbusnetcli-that-nobody-has.so"
    assert "cannot open shared object file" in tried[0][1]
    assert tried[1][0].startswith("bundled core ")
    assert "no such file" in tried[1][1]
    assert tried[2] == ("vendor's wheel wheel-that-nobody-installed", "not installed")
    for what, why in tried:
        assert what in str(caught.value)
        assert why in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).tried == tried  # noqa: S301
    with pytest.raises(LibraryNotFoundError, match=r"core-that-nobody-built.*was not built"):
        lookup.require_core()
    assert lookup.load_core() is None


def test_the_word_core_means_only_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "CORE_NAME", "core-that-nobody-built")
    with pytest.raises(LibraryNotFoundError) as caught:
        lookup.find("core", {})
    assert len(caught.value.tried) == 1


def test_survey_goes_through_all_rules(system: None, tmp_path: Path) -> None:
    bad = str(tmp_path / "missing.so")
    found, tried = lookup.survey({lookup.ENVIRONMENT: bad})
    assert CORE in [library.path for library in found]
    assert tried[0][0] == f"environment {bad}"
    facts = lookup.describe(found[0])
    assert facts["kind"] == "core"
    assert len(facts["bound"]) == 13
    assert facts["missing"] == []


# ---- IPC -----------------------------------------------------------------------------------


def test_ipc_has_a_variable_and_a_name_of_its_own(tmp_path: Path) -> None:
    copy = str(shutil.copy(CORE, tmp_path / lookup.file_name(lookup.IPC_VENDOR_NAME)))
    for_net = {lookup.ENVIRONMENT: "/nowhere/at/all.so"}
    found = lookup.find("", {**for_net, lookup.IPC_ENVIRONMENT: copy}, family=lookup.IPC)
    assert found == lookup.Found(copy, "environment", is_core=True)
    found = lookup.find(str(tmp_path), for_net, family=lookup.IPC)
    assert found == lookup.Found(copy, "lib_path", is_core=True)
    with pytest.raises(LibraryNotFoundError, match="directory without libbusnetcli"):
        lookup.find(str(tmp_path), {})


def test_where_no_ipc_library_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "IPC_VENDOR_NAME", "busipccli-that-nobody-has")
    assert lookup.find(environ={}, family=lookup.IPC).path == CORE
    monkeypatch.setattr(lookup, "CORE_NAME", "core-that-nobody-built")
    for lib_path, count in (("", 2), ("vendor", 1), ("core", 1)):
        with pytest.raises(LibraryNotFoundError) as caught:
            lookup.find(lib_path, {}, family=lookup.IPC)
        assert len(caught.value.tried) == count  # there is no wheel that could have it


def test_a_net_library_is_no_ipc_library(tmp_path: Path) -> None:
    """The vendor's has thirteen of the one and none of the other."""
    core = Path(CORE).read_bytes().replace(b"\0sb_version\0", b"\0no_version\0")
    library = tmp_path / "netonly.so"
    library.write_bytes(core.replace(b"\0SmartBusIpcCli_Init\0", b"\0SmartBusIpcCli_Tini\0"))
    assert lookup.find(str(library), {}) == lookup.Found(str(library), "lib_path", is_core=False)
    with pytest.raises(LibraryNotFoundError, match=r"the library lacks SmartBusIpcCli_Init$"):
        lookup.find(str(library), {}, family=lookup.IPC)


def test_a_library_of_other_bits_is_named(tmp_path: Path) -> None:
    """The vendor's IPC library is one of 32 bits."""
    elf = bytearray(Path(CORE).read_bytes())
    elf[4] = 3 - elf[4]  # EI_CLASS: 1 is 32 bits, 2 is 64
    library = tmp_path / "other.so"
    library.write_bytes(elf)
    mine = 8 * struct.calcsize("P")
    with pytest.raises(LibraryNotFoundError, match=f"{96 - mine} bits; this Python is one of"):
        lookup.find(str(library), {}, family=lookup.IPC)


def test_survey_of_ipc(tmp_path: Path) -> None:
    bad = str(tmp_path / "missing.so")
    found, tried = lookup.survey({lookup.IPC_ENVIRONMENT: bad}, family=lookup.IPC)
    assert CORE in [library.path for library in found]
    assert tried[0][0] == f"environment {bad}"
    facts = lookup.describe(found[-1], family=lookup.IPC)
    assert len(facts["bound"]) == 12
    assert all(name.startswith("SmartBusIpcCli_") for name in facts["bound"])
    assert facts["missing"] == []
