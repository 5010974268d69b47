"""The codec beyond the golden frames: layouts, limits, bad bytes, any chunking."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbus.errors import SmartBusError
from smartbus.wire import (
    HEADER_SIZE,
    MAX_DATA,
    Address,
    Cmd,
    FlowAck,
    FlowCall,
    FlowReturn,
    Frame,
    FrameParser,
    GlobalConnect,
    Heartbeat,
    Notify,
    ProtocolError,
    Registration,
    RegistrationAck,
    decode_frame,
    encode_frame,
    encode_heartbeat_ack,
    pack_header,
    padding,
)

A = Address(19, 3, 18)
B = Address(20, 4, 5)
BODIES: list[Any] = [
    Registration,
    RegistrationAck,
    Heartbeat,
    GlobalConnect,
    FlowCall,
    FlowAck,
    FlowReturn,
    Notify,
]

byte = st.integers(0, 255)
addresses = st.builds(Address, byte, byte, byte)
frames = st.builds(encode_frame, addresses, addresses, byte, byte, st.binary(max_size=60))
ints = st.integers(-(2**31), 2**31 - 1)
texts = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b""))
names = st.binary(max_size=31).map(lambda raw: raw.replace(b"\0", b""))


# --- header -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "packet"), [(0, 20), (1, 22), (2, 24), (3, 26), (4, 24), (5, 26), (7, 30), (8, 28)]
)
def test_padding_is_the_vendors_formula(size: int, packet: int) -> None:
    assert HEADER_SIZE + size + padding(size, 3) == packet
    assert len(encode_frame(A, B, 1, 3, b"x" * size)) == packet


def test_link_frames_have_no_padding() -> None:
    assert padding(6005, 0) == 0


def test_any_travels_as_255_and_only_low_bits_travel() -> None:
    frame = decode_frame(encode_frame(A, Address(-1, 300, -1), 1, 3))
    assert frame.dst == (255, 44, 255)


@pytest.mark.parametrize(
    ("cmd", "cmd_type", "size"), [(256, 3, 0), (-1, 3, 0), (1, 256, 0), (1, 3, MAX_DATA + 1)]
)
def test_header_refuses_what_does_not_fit(cmd: int, cmd_type: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"must be in|takes 0"):
        pack_header(A, B, cmd, cmd_type, size)


def test_largest_header_is_accepted() -> None:
    parser = FrameParser()
    assert parser.feed(pack_header(A, B, 1, 3, MAX_DATA)) == []
    assert parser.error is None
    assert parser.pending == HEADER_SIZE


# --- parser -----------------------------------------------------------------------------------


def header(magic: int = 0x5B15, packet: int = 24, data: int = 4) -> bytes:
    raw = bytearray(encode_frame(A, B, 1, 3, b"abcd"))
    raw[0:2] = magic.to_bytes(2, "little")
    raw[12:16] = packet.to_bytes(4, "little", signed=True)
    raw[16:20] = data.to_bytes(4, "little", signed=True)
    return bytes(raw)


BAD = [
    header(magic=0x155B),
    header(packet=0),
    header(packet=19),
    header(packet=-24),
    header(packet=2_000_000_000),
    header(data=-1),
    header(data=5),
    header(packet=20),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_frame_ends_the_stream(bad: bytes) -> None:
    good = encode_frame(A, B, 1, 3, b"good")
    parser = FrameParser()
    assert [f.data for f in parser.feed(good + bad + good)] == [b"good"]
    assert parser.error is not None
    with pytest.raises(ProtocolError):
        parser.feed(good)
    with pytest.raises(ProtocolError):
        decode_frame(bad)


def test_the_limit_counts_the_whole_frame() -> None:
    frame = encode_frame(A, B, 1, 3, b"x" * 80)
    assert len(FrameParser(100).feed(frame)) == 1
    small = FrameParser(99)
    assert small.feed(frame) == []
    assert "99" in str(small.error)


@pytest.mark.parametrize("extra", [0, 3, 1000])
def test_any_padding_is_accepted(extra: int) -> None:
    raw = header(packet=24 + extra) + b"\xa5" * extra
    assert FrameParser().feed(raw + raw) == [Frame(raw[:20], b"abcd")] * 2


def test_a_large_frame_arrives_in_pieces() -> None:
    data = bytes(range(256)) * 40_000
    raw = encode_frame(A, B, 1, 3, data)
    parser = FrameParser()
    got: list[Frame] = []
    for at in range(0, len(raw), 65_536):
        assert parser.pending == at  # no more than what came
        got += parser.feed(raw[at : at + 65_536])
    assert [f.data for f in got] == [data]
    assert parser.pending == 0


@pytest.mark.parametrize("raw", [b"", b"\x15\x5b", encode_frame(A, B, 1, 3) * 2])
def test_decode_frame_wants_exactly_one(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(raw)


def outcome(chunks: list[bytes]) -> tuple[list[Frame], str | None, int]:
    """What a parser makes of a stream that arrives in these chunks."""
    parser = FrameParser(200)
    got: list[Frame] = []
    for chunk in chunks:
        if parser.error is None:
            got += parser.feed(chunk)
    return (got, str(parser.error), 0) if parser.error else (got, None, parser.pending)


streams = st.one_of(
    st.lists(st.one_of(frames, st.sampled_from(BAD), st.binary(max_size=50)), max_size=8).map(
        b"".join
    ),
    st.binary(max_size=300),
)


@given(streams, st.lists(st.integers(1, 40), min_size=1))
def test_chunks_do_not_matter(stream: bytes, steps: list[int]) -> None:
    whole = outcome([stream])
    half = len(stream) // 2
    cut: list[bytes] = []
    at = 0
    while at < len(stream):
        step = steps[len(cut) % len(steps)]
        cut.append(stream[at : at + step])
        at += step
    assert outcome([stream[:half], stream[half:]]) == whole
    assert outcome([stream[i : i + 1] for i in range(len(stream))]) == whole
    assert outcome(cut) == whole


# --- bodies -----------------------------------------------------------------------------------


@given(streams)
def test_bytes_are_accepted_or_a_protocol_error(stream: bytes) -> None:
    parser = FrameParser(200)
    for frame in parser.feed(stream):
        assert len(frame.raw_head) == HEADER_SIZE
        assert len(frame.data) == frame.head.data_length
    assert parser.error is None or isinstance(parser.error, ProtocolError)


@pytest.mark.parametrize("body", BODIES, ids=lambda cls: cls.__name__)
@given(data=st.one_of(st.binary(max_size=600), st.binary(min_size=24, max_size=32)))
def test_bodies_are_accepted_or_a_protocol_error(body: Any, data: bytes) -> None:
    try:
        value = body.decode(data)
    except ProtocolError:
        return
    assert isinstance(value, body)


bodies = st.one_of(
    st.builds(FlowCall, names, names, ints, texts, byte, ints),
    st.builds(FlowAck, names, ints, ints, texts, ints),
    st.builds(FlowReturn, names, ints, texts, ints),
    st.builds(Notify, names, texts, texts, ints, ints, byte),
)
events = st.builds(GlobalConnect, byte, byte, byte, byte, byte, texts)


@given(bodies)
def test_bodies_survive(body: FlowCall | FlowAck | FlowReturn | Notify) -> None:
    assert type(body).decode(body.encode()) == body


@given(events, st.sampled_from([Cmd.GLOBAL_CONNECT, Cmd.GLOBAL_CONNECT_ANSWER]))
def test_global_connect_survives(event: GlobalConnect, cmd: Cmd) -> None:
    data = event.encode(A, B, cmd)
    assert GlobalConnect.decode(data) == event
    assert data[:12] == pack_header(A, B, cmd, 1, 0)[:12]  # it begins with a header of its own


def test_long_names_are_cut_as_the_vendor_cuts() -> None:
    call = FlowCall.decode(FlowCall(b"p" * 40, b"f" * 32, 1).encode())
    assert (call.project, call.flow) == (b"p" * 31, b"f" * 31)
    assert Notify.decode(Notify(b"", b"t" * 200, b"x", 1).encode()).title == b"t" * 101
    sent = Registration(b"u" * 99, b"p" * 200, b"i" * 300).encode(A)
    got = Registration.decode(decode_frame(sent).data)
    assert (len(got.user), len(got.password), len(got.info)) == (63, 127, 255)


def test_texts_end_at_a_nul_or_with_the_data() -> None:
    data = FlowReturn(b"p", 1, b"[1]").encode()
    assert FlowReturn.decode(data[:-2]).result == b"[1]"
    assert FlowReturn.decode(data[:-2] + b"\0tail").result == b"[1]"
    assert FlowReturn(b"p", 1, b"ab\0cd").encode() == FlowReturn(b"p", 1, b"ab").encode()


@pytest.mark.parametrize(("body", "least"), [(FlowAck, 51), (FlowReturn, 47), (GlobalConnect, 281)])
def test_shortest_bodies(body: Any, least: int) -> None:
    body.decode(bytes(least))
    with pytest.raises(ProtocolError):
        body.decode(bytes(least - 1))


@pytest.mark.parametrize("form", ["2015", "2018"])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("index", [0, 1])
def test_registration_of_every_layout(form: Any, wide: bool, index: int) -> None:
    version, pid = (b"1.0.1.0465", 4711) if form == "2018" else (b"", 0)
    asked = Registration(b"alice", b"secret", b"info", index, form, version, pid, wide)
    frame = decode_frame(asked.encode(A, 1))
    assert frame.src == A
    assert frame.cmd == Cmd.REGISTER
    assert Registration.decode(frame.data) == asked


@pytest.mark.parametrize("form", ["2015", "2018"])
def test_registration_of_other_lengths(form: Any) -> None:
    # Given a layout that the table knows only by its beginning
    version, pid = (b"1.0.1.0465", 7) if form == "2018" else (b"", 0)
    asked = Registration(b"alice", b"secret", b"info", 0, form, version, pid)
    data = decode_frame(asked.encode(A)).data
    least = 477 if form == "2018" else 449
    for size in (least, 1000, 6004):
        assert Registration.decode(data[:size]) == asked
    with pytest.raises(ProtocolError):
        Registration.decode(data[:448])


def test_a_user_of_digits_is_no_version() -> None:
    asked = Registration(b"1234", b"secret", b"info", 0, "2015", b"")
    data = decode_frame(asked.encode(A)).data
    assert Registration.decode(data).user == b"1234"
    assert Registration.decode(data[:449]).user == b"1234"


@pytest.mark.parametrize("size", [0, 7, 8, 24, 32])
def test_heartbeat_ack_echoes_the_body(size: int) -> None:
    body = bytes(range(size))
    frame = decode_frame(encode_heartbeat_ack(1, A, body, 99))
    assert frame.src == (1, 0, 1)
    assert frame.dst == A
    if size < 8:
        assert frame.data == body
    else:
        assert frame.data == body[:-8] + (99).to_bytes(8, "little")
    assert decode_frame(encode_heartbeat_ack(1, A, body)).data == body


def test_narrow_acks() -> None:
    assert len(RegistrationAck(0).encode(1, A, node="narrow")) == 5516
    assert RegistrationAck.decode(decode_frame(RegistrationAck(-6).encode(1, A)).data).result == -6


def test_protocol_error_is_both_and_pickles() -> None:
    error = pickle.loads(pickle.dumps(ProtocolError("what")))  # noqa: S301
    assert isinstance(error, SmartBusError)
    assert isinstance(error, ValueError)
    assert (error.code, error.message) == (-99, "what")
