"""Runs the rows of tables, many at a time, and keeps how they ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tests.abi.table import Case
from tests.abi.world import World

#: Rows at a time. What a row waits for in vain after seconds must not be the processor.
WORKERS = 5
#: The same for rows that mostly wait.
SLOW_WORKERS = 30

Chain = list[Case]


class Outcomes:
    """How rows ended."""

    def __init__(self, cases: Sequence[Case]) -> None:
        """Run `cases`, and return when all are over and all that they used is gone."""
        self._futures: dict[str, Future[None]] = {}
        running: list[Future[None]] = []
        chains: dict[tuple[str, str], Chain] = defaultdict(list)
        with ThreadPoolExecutor(WORKERS) as executor, ThreadPoolExecutor(SLOW_WORKERS) as slow:
            for case in cases:
                if not case.row.fresh:
                    chains[case.row.family, case.kind].append(case)
            for chain in chains.values():
                futures: list[Future[None]] = [Future() for _ in chain]
                self._futures.update(zip(map(self._key, chain), futures, strict=True))
                running.append(executor.submit(_run_chain, chain, futures))
            for case in cases:
                if case.row.fresh:
                    pool = slow if case.row.slow else executor
                    self._futures[self._key(case)] = pool.submit(_run_alone, case)
        for chain_end in running:
            chain_end.result(0)

    @staticmethod
    def _key(case: Case) -> str:
        return f"{case.row.family} {case.id}"

    def report(self, case: Case) -> None:
        """Raise what the row raised."""
        self._futures[self._key(case)].result(0)


def _run_alone(case: Case) -> None:
    with World(case.row.family, case.kind) as world:
        case.row.run(world)


def _run_chain(chain: Chain, futures: list[Future[None]]) -> None:
    """Run rows in one world as long as they leave it whole."""
    world: World | None = None
    for case, future in zip(chain, futures, strict=True):
        world = _run_shared(case, world, future)
    if world is not None:
        world.close()


def _run_shared(case: Case, world: World | None, future: Future[None]) -> World | None:
    """Run a row in `world`, or a new one; returns the world if it can go on."""
    try:
        if world is None:
            world = World(case.row.family, case.kind)
            world.begin()
        case.row.run(world)
        world.settle()
    except BaseException as error:  # noqa: BLE001 - the test raises it
        if world is not None:
            world.__exit__(type(error), error, None)
        future.set_exception(error)
        return None
    future.set_result(None)
    return world
