"""The executor alone: requests per second and latency, without bus and sockets to anywhere.

Run it as ``.venv/bin/python benchmarks/executor.py``. One worker process executes ``methods.echo``
for 100-byte requests; beside it, in the same call and with the same work, runs
``multiprocessing.Pool.apply_async``. Rounds are interleaved, since machines are noisy: compare only
figures of one call. One JSON line a case: medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from asking import Peer, compare
from common import ROOT
from peers import PARAM, pool_peer

sys.path.insert(0, str(ROOT))

from sbusr.executor import Executor

OUTSTANDING: Final = (100, 500)
#: Head of a packet from client 0 of unit 0 with the command type 211 (NET.md 1.1).
HEAD: Final = bytes.fromhex("155b01d3020000ff1300") + bytes(10)


def requests() -> list[tuple[bytes, bytes]]:
    """Make requests of about 100 bytes with different ids."""
    body = '{"jsonrpc": "2.0", "id": "%05d", "method": "echo", "params": ["%s"]}'
    return [(HEAD, (body % (number, PARAM)).encode()) for number in range(4096)]


class CountingClient:
    """Takes replies as `smartbus.net.Client` does, and counts them."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.count = 0
        self.came = asyncio.Event()

    def notify_many(
        self, notifies: Sequence[tuple[int, int, bytes, bytes]], _expires: float
    ) -> None:
        """Count."""
        self.count += len(notifies)
        self.came.set()


class ExecutorPeer:
    """An executor with one worker process, in a loop that runs while something is measured."""

    def __init__(self, loop: asyncio.AbstractEventLoop, executor: Executor) -> None:
        """Use `executor`, which lives in `loop`."""
        self._loop = loop
        self._executor = executor
        self._requests = requests()

    def latency(self, seconds: float) -> list[float]:
        """See `Peer`."""
        return self._loop.run_until_complete(self._latency(seconds))

    async def _latency(self, seconds: float) -> list[float]:
        client = CountingClient()
        put, came = self._executor.put_many, client.came
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            came.clear()
            put(client, self._requests[:1])
            await came.wait()
            times.append(time.perf_counter() - start)
        return times

    def throughput(self, outstanding: int, seconds: float) -> float:
        """See `Peer`."""
        return self._loop.run_until_complete(self._throughput(outstanding, seconds))

    async def _throughput(self, outstanding: int, seconds: float) -> float:
        client = CountingClient()
        put, came = self._executor.put_many, client.came
        source = itertools.cycle(self._requests)
        sent = 0
        begin = time.perf_counter()
        end = begin + seconds
        while True:
            if time.perf_counter() < end:
                more = outstanding - (sent - client.count)
                put(client, list(itertools.islice(source, more)))
                sent += more
            elif client.count == sent:
                return sent / (time.perf_counter() - begin)
            came.clear()
            await came.wait()


@contextlib.contextmanager
def executor_peer() -> Iterator[ExecutorPeer]:
    """Run the executor while the body runs."""
    loop = asyncio.new_event_loop()
    executor = Executor(0, 1, None, loop=loop, methods_path=ROOT)
    executor.start()
    loop.run_until_complete(executor.wait_ready())
    try:
        yield ExecutorPeer(loop, executor)
    finally:
        loop.run_until_complete(executor.aclose())
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run (default 1)")
    parser.add_argument("--alone", action="store_true", help="without the pool beside it")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        peers: dict[str, Peer] = {"executor": stack.enter_context(executor_peer())}
        if not args.alone:
            peers["pool"] = stack.enter_context(pool_peer())
        compare(peers, OUTSTANDING, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
