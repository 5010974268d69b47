"""One connection of a server: frames in, callbacks in order, an answer to each frame."""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from .batch import BATCH, BATCH_BYTES, OVERHEAD, BatchProto, Tally
from .errors import ProtoDecodeError, UnsupportedProtoError
from .framing import FrameBuffer
from .proto import PickleProtocol, SetConnectionIdProto
from .protocol import Protocol as MessageProtocol
from .replies import OK, WHOLE, error_text, report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Callback = Callable[[uuid.UUID | None, str, Any], Any]

__all__ = ["Session", "SessionOwner"]

_logger = logging.getLogger("smartbus.dip")

_SET_ID: Final = SetConnectionIdProto.MSG_TYPE[0]
_SPACE: Final = 16 * 1024  # bytes of the receive buffer, as long as reads do not fill it


class SessionOwner(Protocol):
    """What a session needs of its server."""

    max_message_size: int
    """Longest body, in bytes."""
    allow_pickle: bool
    """Pickles are decoded."""
    stopping: bool
    """Coroutines are cancelled because the server ends."""

    def callback_for(self, mtype: int) -> Callback | None:
        """What is called with messages of that type."""

    def admit(self, session: Session, transport: asyncio.Transport) -> bool:
        """Whether this peer may stay."""

    def session_ended(self, session: Session) -> None:
        """Its connection is closed."""

    def start_task(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine until it ends or the server stops."""


def _own(view: memoryview) -> memoryview:
    return memoryview(bytearray(view))


class Session(asyncio.BufferedProtocol):
    """Serves one peer.

    Frames that came with one read are handled at once, and their answers leave with one write.
    While a coroutine of a callback runs, or while the peer does not take its answers, nothing is
    read, so what waits in memory is bounded: one read, or one frame. Callbacks run to their end
    although the peer is gone.

    Args:
        owner: The server.

    Attributes:
        id: What the peer has introduced itself with.
    """

    def __init__(self, owner: SessionOwner) -> None:
        self.id: uuid.UUID | None = None
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._limit = owner.max_message_size
        self._frames = FrameBuffer(
            _own, limit=max(self._limit, BATCH_BYTES) + OVERHEAD, size=_SPACE
        )
        self._todo: deque[tuple[int, memoryview | None]] = deque()
        self._answers: list[bytes] = []
        self._batch: Tally | None = None
        self._reports = False  # the peer reads reports instead of bare texts
        self._busy = False  # a coroutine runs
        self._choked = False  # the peer does not take its answers
        self._warned = False  # that was said

    # ---- the stream ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._owner.admit(self, self._transport):
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ARG002
        """See `asyncio.BufferedProtocol`."""
        return self._frames.space()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._todo += self._frames.received(nbytes)
        if self._busy:  # it was on its way when reading was paused
            return
        waiting = self._work()
        if waiting is not None:
            self._busy = True
            self._set_reading()
            self._owner.start_task(self._go_on(waiting))

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        level = logging.DEBUG if self._warned else logging.WARNING  # it may go on so for long
        _logger.log(level, "%s does not read its answers; reading from it pauses", self.id)
        self._warned = True
        self._choked = True
        self._set_reading()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._choked = False
        self._set_reading()

    def _set_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._busy or self._choked:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if exc is not None:
            _logger.debug("Connection of %s lost: %s", self.id, exc)
        self._transport = None
        self._owner.session_ended(self)

    def close(self) -> None:
        """Close the connection when the answers are written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # ---- messages --------------------------------------------------------------------------

    def _work(self) -> Awaitable[Any] | None:
        """Handle what there is, up to a callback that must be awaited; send the answers."""
        todo = self._todo
        waiting = None
        while todo and waiting is None:
            waiting = self._handle(*todo.popleft())
        answers = self._answers
        if answers:
            # Once it is closing, asyncio complains about each write.
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
            answers.clear()
        return waiting

    async def _go_on(self, waiting: Awaitable[Any] | None) -> None:
        """Await callbacks, one after the other."""
        while waiting is not None:
            try:
                await waiting
            except asyncio.CancelledError as exc:
                if self._owner.stopping:
                    self._todo.clear()
                    raise
                self._failed(exc)
            except Exception as exc:  # noqa: BLE001 - what callbacks raise is answered
                self._failed(exc)
            else:
                self._settle(None)
            waiting = self._work()
        self._busy = False
        self._set_reading()

    def _handle(self, tag: int, body: memoryview | None) -> Awaitable[Any] | None:
        """Handle a message; return what must be awaited before it is settled."""
        try:
            if body is None or (len(body) > self._limit and tag != BATCH):
                raise ProtoDecodeError(f"A body of more than {self._limit} bytes is refused")
            if tag == BATCH:
                self._begin_batch(body)
                return None
            data = self._decode(tag, body)
            callback = self._owner.callback_for(tag)
        except Exception as exc:  # noqa: BLE001 - what protocols raise is answered
            _logger.warning(
                "Bad message of type %r from %s: %s: %s", chr(tag), self.id, type(exc).__name__, exc
            )
            self._settle(error_text(exc))
            return None
        try:
            if tag == _SET_ID:
                self.id = data
            elif callback is not None:
                result = callback(self.id, chr(tag), data)
                if result is not None and inspect.isawaitable(result):
                    return result
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - what callbacks raise
            self._failed(exc)
        else:
            self._settle(None)
        return None

    def _decode(self, tag: int, body: memoryview) -> Any:
        proto = MessageProtocol.dispatch(tag)
        if proto is PickleProtocol and not self._owner.allow_pickle:
            raise UnsupportedProtoError("This server allows no pickles (allow_pickle)")
        _logger.debug("%s sends type %r: %d bytes", self.id, chr(tag), len(body))
        return proto.decode_body(body)

    def _begin_batch(self, body: memoryview) -> None:
        """Put the messages of a batch before all others."""
        if self._batch is not None:
            raise UnsupportedProtoError("A batch in a batch")
        self._reports = True
        messages = BatchProto.decode_body(body)
        if not messages:
            self._settle(None)
            return
        self._batch = Tally(len(messages))
        self._todo.extendleft(reversed(messages))

    def _failed(self, exc: BaseException) -> None:
        _logger.error("The callback failed with a message from %s", self.id, exc_info=exc)
        self._settle(error_text(exc))

    def _settle(self, failure: bytes | None) -> None:
        """Answer the message in execution: with the text of an error, or OK."""
        if self._batch is not None:
            answer = self._batch.settle(failure)
            if answer is None:
                return
            self._batch = None
        elif failure is None:
            answer = OK
        else:
            answer = report([(WHOLE, failure)]) if self._reports else failure
        self._answers.append(answer)
