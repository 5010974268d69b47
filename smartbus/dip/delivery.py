"""Many messages over the connections of a `Pool`: in batches, or one by one."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from .batch import PROBE, exchange, one_by_one
from .errors import ConnectionClosed, ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .link import Link
    from .pool import Pool
    from .sending import Sending

__all__ = ["deliver"]


async def deliver(pool: Pool, user: object, frames: Iterable[bytes]) -> None:
    """Deliver messages in order.

    Args:
        pool: Of the running loop.
        user: On whose behalf.
        frames: Is consumed as they leave.

    Raises:
        ResponseError: `ResponseError.failures` has all that failed.
        Exception: As `Pool.acquire`, as a connection that ends, and what `frames` raises.
    """
    if not pool.singly:
        link = await pool.acquire(user)
        link.held = True
        try:
            if await _knows_batches(link):
                await _in_batches(link, frames)
                return
        finally:
            link.held = False
            if link.busy:
                link.end(ConnectionClosed("The batches over this connection were cancelled."))
            elif not link.ended:
                pool.link_free(link)
        pool.singly = True
    await _one_by_one(pool, user, frames)


async def _knows_batches(link: Link) -> bool:
    if not link.batches:
        if await _failure(link.ask(PROBE)) is not None:
            return False
        link.expect_reports()
    return True


async def _in_batches(link: Link, frames: Iterable[bytes]) -> None:
    answers: deque[Sending] = deque()
    steps = exchange(frames)
    with contextlib.suppress(StopIteration):
        step = next(steps)
        while True:
            if step is None:
                step = steps.send(await _failure(answers.popleft()))
            else:
                answers.append(link.ask(step))
                step = next(steps)


async def _one_by_one(pool: Pool, user: object, frames: Iterable[bytes]) -> None:
    steps = one_by_one(frames)
    with contextlib.suppress(StopIteration):
        data = next(steps)
        while True:
            link = await pool.acquire(user)
            data = steps.send(await _failure(link.ask(data)))


async def _failure(sending: Sending) -> ResponseError | None:
    """The server's error, if it answers with one."""
    try:
        await sending
    except ResponseError as exc:
        return exc
    return None
