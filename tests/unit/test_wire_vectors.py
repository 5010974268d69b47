"""Every golden frame is encoded byte for byte, and decoded, garbage in unused places included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from smartbus.wire import (
    Address,
    Cmd,
    CmdType,
    FlowAck,
    FlowCall,
    FlowReturn,
    Frame,
    FrameParser,
    GlobalConnect,
    Heartbeat,
    Notify,
    Registration,
    RegistrationAck,
    decode_frame,
    encode_frame,
    encode_heartbeat_ack,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[1] / "data"


def load() -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = []
    for name in ("vectors-net.json", "vectors-net-2018.json"):
        vectors += json.loads((DATA / name).read_text(encoding="utf-8"))["vectors"]
    return vectors


VECTORS = load()
ALL = pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])


def raw(value: Any) -> bytes:
    """A text of a vector: ASCII, or hex where it is not."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else str(value).encode("ascii")


def addresses(vector: dict[str, Any]) -> tuple[Address, Address]:
    head = vector["head"]
    src = Address(head["src_unit"], head["src_client"], head["src_type"])
    return src, Address(head["dst_unit"], head["dst_client"], head["dst_type"])


def registration(vector: dict[str, Any], body: dict[str, Any]) -> Registration:
    return Registration(
        user=raw(body["username"]),
        password=raw(body["password"]),
        info=raw(body["add_info"]),
        connect_index=body["connect_index"],
        form="2018" if vector.get("build") == 2018 else "2015",
        version=raw(body.get("version", "")),
        pid=body.get("pid", 0),
        wide="32bit" not in vector["name"],
    )


def heartbeat(vector: dict[str, Any], body: dict[str, Any]) -> Heartbeat:
    form: Literal["2015", "2018"] = "2018" if vector["head"]["datalen"] == 24 else "2015"
    return Heartbeat(body["count"], body["time_launch"], body["time_return"], form)


def global_connect(_: dict[str, Any], body: dict[str, Any]) -> GlobalConnect:
    ids = body["unitid"], body["clientid"], body["clienttype"]
    return GlobalConnect(*ids, body["accesspoint_unitid"], body["status"], raw(body["add_info"]))


def flow_call(_: dict[str, Any], body: dict[str, Any]) -> FlowCall:
    return FlowCall(
        raw(body["projectid"]),
        raw(body["flowid"]),
        body["invoke_id"],
        raw(body["params"]),
        body["mode"],
        body["event_ch"],
    )


def flow_ack(_: dict[str, Any], body: dict[str, Any]) -> FlowAck:
    project, invoke_id, message = raw(body["projectid"]), body["invoke_id"], raw(body["msg"])
    return FlowAck(project, invoke_id, body["ack"], message, body["invoker_ch"])


def flow_return(_: dict[str, Any], body: dict[str, Any]) -> FlowReturn:
    project, invoke_id, result = raw(body["projectid"]), body["invoke_id"], raw(body["param"])
    return FlowReturn(project, invoke_id, result, body["invoker_ch"])


def notify(_: dict[str, Any], body: dict[str, Any]) -> Notify:
    project, title, text = (raw(body[key]) for key in ("projectid", "title", "param"))
    return Notify(project, title, text, body["invoke_id"], body["expires"], body["mode"])


READERS: dict[tuple[int, int], Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    (CmdType.LINK, Cmd.REGISTER): registration,
    (CmdType.LINK, Cmd.REGISTER_ACK): lambda _, body: RegistrationAck(body["ack_result"]),
    (CmdType.LINK, Cmd.HEARTBEAT): heartbeat,
    (CmdType.LINK, Cmd.HEARTBEAT_ACK): heartbeat,
    (CmdType.SYSTEM, Cmd.GLOBAL_CONNECT): global_connect,
    (CmdType.SYSTEM, Cmd.GLOBAL_CONNECT_ANSWER): global_connect,
    (CmdType.SYSTEM, Cmd.FLOW_CALL): flow_call,
    (CmdType.SYSTEM, Cmd.FLOW_ACK): flow_ack,
    (CmdType.SYSTEM, Cmd.FLOW_RETURN): flow_return,
    (CmdType.SYSTEM, Cmd.NOTIFY): notify,
}


def body_of(vector: dict[str, Any]) -> Any:
    """The vector's decoded body as our class for it; bytes for application data."""
    reader = READERS.get((vector["head"]["cmdtype"], vector["head"]["cmd"]))
    body = vector["body"]
    return reader(vector, body) if reader else raw(body.get("data", ""))


def encoded(vector: dict[str, Any]) -> bytes:
    src, dst = addresses(vector)
    cmd, cmd_type, body = vector["head"]["cmd"], vector["head"]["cmdtype"], body_of(vector)
    match body:
        case Registration():
            return body.encode(src)
        case RegistrationAck():
            node: Any = "wide" if vector["length"] > 24 else None
            return body.encode(src.unit_id, dst, node=node)
        case Heartbeat() if cmd == Cmd.HEARTBEAT:
            return body.encode(src, dst.unit_id)
        case Heartbeat():
            # An ack is the heartbeat's own body with the time put in.
            sent = body._replace(time_return=0).encode(dst, src.unit_id)
            return encode_heartbeat_ack(src.unit_id, dst, decode_frame(sent).data, body.time_return)
        case GlobalConnect():
            data = body.encode(src, dst, cmd)
        case bytes():
            data = body
        case _:
            data = body.encode()
    return encode_frame(src, dst, cmd, cmd_type, data)


def decoded(frame: Frame, like: Any) -> Any:
    return frame.data if isinstance(like, bytes) else type(like).decode(frame.data)


@ALL
def test_encodes(vector: dict[str, Any]) -> None:
    assert encoded(vector).hex() == vector["hex"]


@ALL
def test_decodes(vector: dict[str, Any]) -> None:
    (frame,) = FrameParser().feed(bytes.fromhex(vector["hex"]))
    src, dst = addresses(vector)
    head = vector["head"]
    assert (frame.src, frame.dst) == (src, dst)
    assert (frame.cmd, frame.cmd_type) == (head["cmd"], head["cmdtype"])
    assert frame.head.packet_size == head["packet_size"] == vector["length"]
    assert frame.head.data_length == head["datalen"] == len(frame.data)
    assert decoded(frame, body_of(vector)) == body_of(vector)


@ALL
def test_ignores_what_the_vendor_leaves_unwritten(vector: dict[str, Any]) -> None:
    stream = bytearray.fromhex(vector["hex"])
    for region in vector["zeroed"]:
        if not region["why"].startswith("pid"):  # a pid differs, but it means something
            at, size = region["offset"], region["length"]
            stream[at : at + size] = b"\xa5" * size
    frame = decode_frame(bytes(stream))
    assert decoded(frame, body_of(vector)) == body_of(vector)
    if vector["head"]["cmd"] != Cmd.REGISTER or vector["head"]["cmdtype"] != CmdType.LINK:
        assert (frame.src, frame.dst) == addresses(vector)


def test_all_layouts_of_the_table_are_in_the_vectors() -> None:
    sizes = {v["head"]["datalen"] for v in VECTORS if v["name"].startswith("registration_request")}
    assert sizes == {6005, 5941, 6033, 5969}  # NET-2018.md 1.1
