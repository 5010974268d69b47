"""Which files are flow scripts, and when they are compiled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbus.errors import ArgumentError, NodeNotFoundError, OtherError
from smartbus.ipsc.scripts import Scripts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A directory of flows, beside files that are none of its business."""
    flows = tmp_path / "flows"
    (flows / "P1").mkdir(parents=True)
    (flows / "P1" / "F1.py").write_text("result = [1]")
    (flows / "F0.py").write_text("")
    (flows / "P1" / "note.txt").write_text("")
    (flows / "P1" / "dir.py").mkdir()
    (flows / "P1" / ".hidden.py").write_text("")
    (tmp_path / "outside.py").write_text("")
    (tmp_path / "P2").mkdir()
    (tmp_path / "P2" / "F2.py").write_text("")
    return flows


def test_loads_a_script(flows: Path) -> None:
    code = Scripts(flows).load("P1", "F1")
    assert code.co_filename == str(flows / "P1" / "F1.py")
    namespace: dict[str, object] = {}
    exec(code, namespace)  # noqa: S102
    assert namespace["result"] == [1]


def test_loads_chinese_names(flows: Path) -> None:
    (flows / "项目 一").mkdir()
    (flows / "项目 一" / "流程-1.py").write_text("")
    Scripts(flows).load("项目 一", "流程-1")


@pytest.mark.parametrize(
    ("project", "flow"),
    [
        ("P1", "F2"),
        ("P2", "F1"),
        ("P1", "F1.py"),
        ("P1", "dir"),
        ("P1", "note.txt"),
        ("", "F0"),
        (".", "F0"),
        ("P1", "../F0"),
        ("..", "outside"),
        ("P1", "../../outside"),
        ("P1", "../../P2/F2"),
        ("../P2", "F2"),
        ("P1", ""),
        ("P1", ".hidden"),
        ("P1/", "F1"),
        ("P1", "/F1"),
        ("P1\\", "F1"),
        ("P1\0", "F1"),
        ("P1", "F1\n"),
        ("P1", " F1"),
        ("C:P1", "F1"),
        ("P" * 5000, "F1"),
    ],
)
def test_other_names_are_no_flows(flows: Path, project: str, flow: str) -> None:
    with pytest.raises(NodeNotFoundError):
        Scripts(flows).load(project, flow)


names = st.one_of(
    st.text(max_size=12),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "P1", "P2", "F1", "F2", "outside", "\0", "%"]))
    .map("".join),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(project=names, flow=names)
def test_no_name_leads_out_of_the_directory(flows: Path, project: str, flow: str) -> None:
    try:
        code = Scripts(flows).load(project, flow)
    except NodeNotFoundError:
        return
    assert code.co_filename == str(flows / "P1" / "F1.py")


def test_links_do_not_lead_out_of_the_directory(flows: Path) -> None:
    (flows / "P1" / "link.py").symlink_to(flows.parent / "outside.py")
    (flows / "P3").symlink_to(flows.parent / "P2")
    (flows / "P4").symlink_to(flows / "P1")
    (flows / "P1" / "loop.py").symlink_to(flows / "P1" / "loop.py")
    scripts = Scripts(flows)
    for project, flow in (("P1", "link"), ("P3", "F2"), ("P1", "loop")):
        with pytest.raises(NodeNotFoundError):
            scripts.load(project, flow)
    scripts.load("P4", "F1")


def test_compiles_again_only_after_a_change(flows: Path) -> None:
    path = flows / "P1" / "F1.py"
    scripts = Scripts(flows)
    first = scripts.load("P1", "F1")
    assert scripts.load("P1", "F1") is first
    path.write_text("result = [2]")
    os.utime(path, ns=(1, 1))  # whatever the resolution of its time stamps
    second = scripts.load("P1", "F1")
    assert second is not first
    path.unlink()
    with pytest.raises(NodeNotFoundError):
        scripts.load("P1", "F1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"x = = 1", "line 1"),
        (b"\n\n  x = 1", "line 3"),
        (b"x = '\0'", "null"),
        (b"\xff", "utf-8"),
        (b"(" * 1000, "does not compile"),
    ],
)
def test_what_does_not_compile(flows: Path, source: bytes, message: str) -> None:
    (flows / "P1" / "bad.py").write_bytes(source)
    with pytest.raises(OtherError, match=message):
        Scripts(flows).load("P1", "bad")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read(flows: Path) -> None:
    (flows / "P1" / "F1.py").chmod(0)
    with pytest.raises(OtherError, match="cannot be read"):
        Scripts(flows).load("P1", "F1")


def test_the_directory_must_exist(flows: Path) -> None:
    for wrong in (flows / "nowhere", flows / "F0.py"):
        with pytest.raises(ArgumentError):
            Scripts(wrong)


def test_the_cache_is_bounded(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartbus.ipsc.scripts._MAX_CACHED", 2)
    scripts = Scripts(flows)
    for number in range(5):
        (flows / "P1" / f"G{number}.py").write_text("")
        scripts.load("P1", f"G{number}")
        assert len(scripts._cache) <= 2
