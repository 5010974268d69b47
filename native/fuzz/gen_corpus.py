"""Seeds for the fuzzing targets, made from the golden frames: writes ``corpus/<target>/seed-*``.

Each target's source says what its input looks like. Run it when a target or the vectors change;
what it writes is kept in the repository, beside inputs that the fuzzers found.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "tests" / "data"

# Bits of the first byte, see bus_frames_fuzz.c and net_side.h.
BUS_REGISTERED, BUS_LOCAL = 1, 2
NET_REGISTERED, NET_LOCAL, NET_SLAVE, NET_DEAF, NET_TRACE = 1, 2, 4, 8, 16
FLOW_COMMANDS = (11, 12, 13, 15, 7, 8, 77)
LAYOUTS = {6005: 0, 5941: 1, 6033: 2, 5969: 3}


class Frame(NamedTuple):
    """A golden frame."""

    name: str
    cmdtype: int
    cmd: int
    data: bytes
    whole: bytes


def load() -> list[Frame]:
    """Return the golden frames of all files."""
    frames = []
    for file, prefix in (("net", ""), ("net-2018", ""), ("ipc", "ipc_")):
        text = (DATA / f"vectors-{file}.json").read_text(encoding="utf-8")
        for vector in json.loads(text)["vectors"]:
            head = vector.get("head") or vector["header"]
            whole = bytes.fromhex(vector["hex"])
            data = whole[20 : 20 + head["datalen"]]
            frames.append(Frame(prefix + vector["name"], head["cmdtype"], head["cmd"], data, whole))
    return frames


def broken(whole: bytes) -> dict[str, bytes]:
    """Return streams that a parser must refuse, each behind a good frame."""
    lengths = {"zero": 0, "short": 19, "negative": -1, "huge": 0x7FFFFFFF}
    streams = {
        f"packet-{name}": whole + whole[:12] + struct.pack("<i", value) + whole[16:]
        for name, value in lengths.items()
    }
    streams["data-negative"] = whole + whole[:16] + struct.pack("<i", -1) + whole[20:]
    streams["data-beyond"] = whole + whole[:16] + struct.pack("<i", 1000) + whole[20:]
    streams["magic"] = whole + b"\x15\x5c" + whole[2:]
    return streams


def frames_seeds(frames: list[Frame]) -> dict[str, dict[str, bytes]]:
    """Return seeds of the two parsers."""
    routed = b"".join(frame.whole for frame in frames if frame.cmdtype > 0)
    bus = {
        "routed": bytes([BUS_REGISTERED]) + routed,
        "routed-local": bytes([BUS_REGISTERED | BUS_LOCAL]) + routed,
    }
    net = {}
    for bits in (0, NET_LOCAL, NET_SLAVE, NET_DEAF, NET_TRACE):
        net[f"routed-{bits}"] = bytes([NET_REGISTERED | bits]) + b"\xff\xff" + routed
    for frame in frames:
        if frame.cmdtype > 0:
            continue
        local = frame.name.startswith("ipc_")
        if frame.cmd in {1, 5}:
            bus[frame.name] = bytes([BUS_LOCAL if local else 0]) + frame.whole
        else:
            stream = struct.pack("<H", len(frame.whole)) + frame.whole
            net[frame.name] = bytes([NET_LOCAL if local else 0]) + stream
    small = next(frame.whole for frame in frames if frame.name == "user_data_5")
    for name, stream in broken(small).items():
        bus[name] = bytes([BUS_REGISTERED]) + stream
        net[name] = bytes([NET_REGISTERED]) + b"\xff\xff" + stream
    refused = next(f.whole for f in frames if f.name == "registration_ack_minimal")
    for code in (-1, -5, -10, -24):
        first = refused[:20] + struct.pack("<i", code) + refused[24:]
        net[f"refused{code}"] = b"\0" + struct.pack("<H", len(first)) + first + refused
    return {"bus_frames": bus, "net_frames": net}


def registration_seeds(frames: list[Frame]) -> dict[str, bytes]:
    """Return each layout alone, and pairs in which the second meets the first."""
    requests = {}
    for frame in frames:
        if (frame.cmdtype, frame.cmd) != (0, 1):
            continue
        body = frame.data[:480].rstrip(b"\0")
        requests[frame.name] = bytes([LAYOUTS[len(frame.data)]]) + frame.whole[4:7] + body
    seeds = {}
    for name, request in requests.items():
        bits = 2 if name.startswith("ipc_") else 0
        seeds[name] = bytes([bits, 0]) + struct.pack("<H", len(request)) + request
    first = requests["registration_request_2018"]
    for name, request in requests.items():
        for bits in (0, 1, 8, 16 | 8, 32):
            settings = bytes([bits | (4 if name.startswith("ipc_") else 0), bits & 1])
            pair = struct.pack("<H", len(first)) + first + request
            seeds[f"pair-{name}-{bits}"] = settings + pair
    return seeds


def body_seeds(frames: list[Frame]) -> dict[str, dict[str, bytes]]:
    """Return bodies of global connect events and of flows."""
    events, flows = {}, {}
    for frame in frames:
        bits = NET_REGISTERED | (NET_LOCAL if frame.name.startswith("ipc_") else 0)
        if frame.cmdtype != 1:
            continue
        if frame.cmd in {9, 10}:
            events[frame.name] = bytes([bits, frame.cmd - 9]) + frame.data
            events[f"{frame.name}-new"] = bytes([bits, 0]) + frame.data[:24] + b"\1" + b"here"
        else:
            kind = FLOW_COMMANDS.index(frame.cmd)
            flows[frame.name] = bytes([bits, kind + 7]) + frame.data
            # The invoke id of a call that waits.
            if frame.cmd in {12, 13}:
                data = frame.data[:33] + struct.pack("<i", 1) + frame.data[37:]
                flows[f"{frame.name}-1"] = bytes([bits, kind]) + data
            if frame.cmd == 11:
                flows[f"{frame.name}-nobody"] = bytes([bits, kind + 14]) + frame.data
    return {"global": events, "flow": flows}


def script_seeds() -> dict[str, bytes]:
    """Return scripts in the language of bus_script_fuzz.c."""

    def op(peer: int, action: int, variant: int = 0) -> bytes:
        return bytes([peer | action << 2 | variant << 5])

    def enter(peer: int, client: int, unit: int = 0, bits: int = 0, local: int = 0) -> bytes:
        return op(peer, 0, local) + op(peer, 1) + bytes([unit | bits << 3, client, 30])

    def send(peer: int, unit: int, client: int, times: int = 0) -> bytes:
        frame = bytes([3, 77, unit, client, 0xFF, 40]) + b"x" * 40
        return op(peer, 4) + bytes([times]) + frame if times else op(peer, 3) + frame

    couple = enter(0, 1, 1) + enter(1, 2, 1)
    stuck = couple + op(1, 7, 0) + b"\0"
    large = op(0, 4, 5) + bytes([1, 2, 250]) + op(1, 4, 4) + bytes([1, 1, 250])
    scripts = {
        "talk": couple + send(0, 1, 2) + send(1, 1, 1) + send(0, 0xFF, 0xFF),
        "flood": stuck + send(0, 1, 2, 7) + send(0, 1, 2, 7),
        "flood-cut": stuck + send(0, 1, 2, 7) + op(0, 6) + bytes([31]) + send(0, 1, 2),
        "flood-freed": stuck + send(0, 1, 2, 7) + op(1, 7, 1) + b"\0" + send(0, 1, 2),
        "large": couple + large,
        "large-stuck": stuck + large + large + op(0, 6) + bytes([31]),
        "twice": couple + enter(2, 1, 1) + enter(3, 1, 1, 1),
        "slave": enter(0, 1, 1) + enter(1, 1, 1, 1) + send(0, 0, 1) + op(0, 5) + send(1, 0, 1),
        "local": enter(0, 9, 4, 0, 1) + enter(1, 9, 4, 0, 1) + send(0, 4, 5) + op(0, 5, 1),
        "kick": couple + op(0, 7, 7) + b"\2" + op(1, 6) + bytes([20]),
        "idle": couple + (op(0, 6) + bytes([31])) * 3,
    }
    plain = {name: b"\0" + script for name, script in scripts.items()}
    scarce = {f"{name}-scarce": b"\1" + script for name, script in scripts.items()}
    return plain | scarce


def main() -> None:
    """Write the seeds in place of those that are there."""
    frames = load()
    seeds = {
        "wire": {frame.name: frame.whole for frame in frames},
        "registration": registration_seeds(frames),
        "bus_script": script_seeds(),
        **frames_seeds(frames),
        **body_seeds(frames),
    }
    for target, named in seeds.items():
        directory = HERE / "corpus" / target
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("seed-*"):
            old.unlink()
        for name, content in named.items():
            (directory / f"seed-{name}").write_bytes(content)


if __name__ == "__main__":
    main()
