"""From arriving bytes to frames."""

from __future__ import annotations

from struct import Struct
from typing import Final

from .frame import HEADER_SIZE, MAGIC, MAX_FRAME, Frame, ProtocolError, check_sizes

__all__ = ["FrameParser"]

_SIZES: Final = Struct("<H10xii")


class FrameParser:
    """Cuts a byte stream into frames, however it arrives.

    Holds at most one unfinished frame, and of that only the bytes that came: a header
    that announces much costs nothing.

    Attributes:
        error: What broke the protocol, if something did. Then the stream has no more
            frame boundaries: use the frames that `feed` returned and drop the connection.
    """

    __slots__ = ("_limit", "_need", "_pending", "error")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        """Accept frames of up to `limit` bytes."""
        self.error: ProtocolError | None = None
        self._limit = limit
        self._pending = bytearray()  # the beginning of an unfinished frame
        self._need = HEADER_SIZE  # bytes in _pending from which on there is something to do

    @property
    def pending(self) -> int:
        """Bytes held of an unfinished frame."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they arrived and return the frames they complete, in order.

        Sets `error` at a bad frame; frames in front of it are still returned.

        Raises:
            ProtocolError: `error` is set since an earlier call.
        """
        if self.error is not None:
            raise self.error
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self._need:
                return []
            data = bytes(pending)
            pending.clear()
        frames: list[Frame] = []
        append, make, unpack = frames.append, tuple.__new__, _SIZES.unpack_from
        limit, room = self._limit, self._limit - HEADER_SIZE
        start, end, need = 0, len(data), HEADER_SIZE
        while end - start >= HEADER_SIZE:
            magic, packet_size, data_size = unpack(data, start)
            # The same conditions as in check_sizes, which says which one failed.
            if magic != MAGIC or not 0 <= data_size <= packet_size - HEADER_SIZE <= room:
                try:
                    check_sizes(magic, packet_size, data_size, limit)
                except ProtocolError as error:
                    self.error = error
                return frames
            after = start + packet_size
            if after > end:
                need = packet_size
                break
            body = start + HEADER_SIZE
            append(make(Frame, (data[start:body], data[body : body + data_size])))
            start = after
        if start < end:
            pending += data[start:] if start else data
        self._need = need
        return frames
