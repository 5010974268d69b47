"""Many messages over the connections of a `Pool`: in batches, or one by one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .batch import PROBE, exchange, raise_for
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
        try:
            await link.ask(PROBE)
        except ResponseError:
            return False
        link.expect_reports()
    return True


async def _in_batches(link: Link, frames: Iterable[bytes]) -> None:
    answers: deque[Sending] = deque()
    steps = exchange(frames)
    try:
        step = next(steps)
        while True:
            if step is not None:
                answers.append(link.ask(step))
                step = next(steps)
                continue
            failure = None
            try:
                await answers.popleft()
            except ResponseError as exc:
                failure = exc
            step = steps.send(failure)
    except StopIteration:
        return


async def _one_by_one(pool: Pool, user: object, frames: Iterable[bytes]) -> None:
    failures: dict[int, str] = {}
    error = None
    count = 0
    try:
        for count, data in enumerate(frames, 1):
            link = await pool.acquire(user)
            try:
                await link.ask(data)
            except ResponseError as exc:
                failures[count - 1] = str(exc)
    except Exception as exc:  # noqa: BLE001 - raised below
        error = exc
    raise_for(failures, count, error)
