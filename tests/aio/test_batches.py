"""Many packets and many notifies in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.aio import Limits
from smartbus.errors import BufferFullError, CommandTypeError, NotConnectedError
from smartbus.wire import Notify
from tests.aio.peers import OTHER, client_of
from tests.aio.test_messages import Pair, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.aio.peers import Server


@pytest_asyncio.fixture
async def pair(server: Server) -> AsyncIterator[Pair]:
    pair = await connect(server)
    yield pair
    await pair.client.close()


async def test_many_packets_in_order(pair: Pair) -> None:
    datas: list[Any] = [b"one", bytearray(b"two"), "三", None, memoryview(b"five")]
    assert pair.client.send_many(9, 3, *OTHER, datas) == 5
    assert pair.client.send_many(9, 3, *OTHER, (b"%d" % n for n in range(1000))) == 1000
    frames = [await pair.peer.frame() for _ in range(1005)]
    assert [frame.data for frame in frames[:5]] == [b"one", b"two", "三".encode(), b"", b"five"]
    assert [int(frame.data) for frame in frames[5:]] == list(range(1000))
    assert {(frame.cmd, frame.cmd_type, frame.dst) for frame in frames} == {(9, 3, OTHER)}


async def test_an_error_tells_how_many_were_queued(server: Server) -> None:
    pair = await connect(server, limits=Limits(send_frames=3))
    with pytest.raises(BufferFullError) as caught:
        pair.client.send_many(9, 3, *OTHER, [b"x"] * 10)
    assert caught.value.sent == 3
    with pytest.raises(CommandTypeError) as wrong:
        pair.client.send_many(9, 0, *OTHER, [b"x"])
    assert wrong.value.sent == 0
    await pair.client.close()
    other = client_of(server)
    await other.start()
    with pytest.raises(NotConnectedError):
        other.send_many(9, 3, *OTHER, [b"x"])
    await other.close()


@pytest.mark.parametrize("datas", [b"bytes", "text", bytearray(b"x"), memoryview(b"x")])
async def test_one_is_not_many(pair: Pair, datas: Any) -> None:
    with pytest.raises(TypeError, match="must be many"):
        pair.client.send_many(9, 3, *OTHER, datas)


async def test_nothing_is_sent_if_one_is_no_data(pair: Pair) -> None:
    with pytest.raises(TypeError):
        pair.client.send_many(9, 3, *OTHER, [b"good", object()])  # type: ignore[list-item]
    pair.client.send_data(9, 3, *OTHER, b"next")
    assert (await pair.peer.frame()).data == b"next"


async def test_many_notifies_and_what_one_costs(pair: Pair) -> None:
    codes = pair.client.notify_many(
        [
            (0, 1, "标题", "文本"),
            (16, 1, "no server", "x"),
            (0, 1, "", "no title"),
            (0, 2, b"raw", b"bytes"),
            (0, 2, "long", "x" * 16000),
        ],
        1.5,
    )
    assert codes == [1, -12, -1, 2, -15]
    first, second = [Notify.decode((await pair.peer.frame()).data) for _ in range(2)]
    assert first == Notify(b"", "标题".encode("gbk"), "文本".encode("gbk"), 1, 1500, 0)
    assert second == Notify(b"", b"raw", b"bytes", 2, 1500, 0)
