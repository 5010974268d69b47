"""Frames in a stream: any split gives the same, memory follows what arrives."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbus.dip.framing import (
    RECEIVE_SIZE,
    CutShortError,
    FrameBuffer,
    FrameReader,
    frame,
    split,
)

LIMIT = 300
FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.one_of(st.binary(max_size=40), st.binary(max_size=900)))
)


def feed(buffer: FrameBuffer[bytes], data: bytes) -> list[tuple[int, bytes | None]]:
    """Receive as a socket does: as much as there is room for."""
    frames = []
    while data:
        space = buffer.space()
        count = min(len(space), len(data))
        space[:count] = data[:count]
        frames += buffer.received(count)
        data = data[count:]
    return frames


@given(FRAMES, st.data())
def test_any_split_gives_the_same(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(*each) for each in frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    buffer = FrameBuffer(bytes, limit=LIMIT, size=16)
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += feed(buffer, stream[start:end])
    assert got == [(tag, body if len(body) <= LIMIT else None) for tag, body in frames]


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), min_size=1))
def test_rubbish_is_frames_or_waits(data: bytes, sizes: list[int]) -> None:
    whole = feed(FrameBuffer(bytes, limit=LIMIT, size=16), data)
    pieces = FrameBuffer(bytes, limit=LIMIT, size=16)
    got = []
    position = 0
    while position < len(data):
        size = sizes[position % len(sizes)]
        got += feed(pieces, data[position : position + size])
        position += size
    assert got == whole
    assert all(body is None or len(body) <= LIMIT for _, body in got)


def test_memory_follows_what_arrives() -> None:
    buffer = FrameBuffer(bytes, size=1024)
    feed(buffer, b"J\xff\xff\xff\xff")
    assert len(buffer.space()) < 2 * RECEIVE_SIZE
    arrived = 5
    for _ in range(40):
        feed(buffer, bytes(10_000))
        arrived += 10_000
        assert len(buffer.space()) <= max(arrived, RECEIVE_SIZE)


def test_space_of_a_large_frame_is_given_back() -> None:
    buffer = FrameBuffer(bytes, size=1024)
    assert feed(buffer, frame(1, bytes(3_000_000))) == [(1, bytes(3_000_000))]
    assert len(buffer.space()) == RECEIVE_SIZE


def test_what_is_too_long_takes_no_memory() -> None:
    buffer = FrameBuffer(bytes, limit=1000, size=1024)
    got = feed(buffer, frame(7, bytes(5_000_000)) + frame(8, b"next"))
    assert got == [(7, None), (8, b"next")]
    assert len(buffer.space()) <= RECEIVE_SIZE


def test_reader() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = FrameReader()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            reader.receive(ours)
        theirs.sendall(frame(1, b"one") + frame(2) + frame(3, b"three")[:6])
        assert reader.receive(ours) == [(1, b"one"), (2, b"")]
        theirs.sendall(frame(3, b"three")[6:])
        assert reader.receive(ours) == [(3, b"three")]
        theirs.shutdown(socket.SHUT_WR)
        assert reader.receive(ours) is None


@given(FRAMES)
def test_split(frames: list[tuple[int, bytes]]) -> None:
    data = b"".join(frame(*each) for each in frames)
    assert [(tag, bytes(body)) for tag, body in split(memoryview(data))] == frames


@pytest.mark.parametrize(
    "data", [b"J", b"J\0\0\0", b"J\0\0\0\x02a", frame(1, b"x") + b"J\0\0\0\x01"]
)
def test_split_refuses_what_is_cut_short(data: bytes) -> None:
    with pytest.raises(CutShortError):
        list(split(memoryview(data)))
