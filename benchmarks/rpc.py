"""Requests per second and latency: flow side -> bus -> sbusr with one worker -> back.

Run it as ``.venv/bin/python benchmarks/rpc.py`` (``make bench`` does). A bus and the daemon run
as processes of their own, beside them, one after the other in the same call, the systems of
``peers.py``. Rounds are interleaved, since machines are noisy: compare only figures of one
call. One JSON line a case: medians of the rounds. ``vs_…`` is how many times better ours is:
the ratio of requests per second, or the inverse one of p50.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from common import ROOT, child, microseconds, report
from flow_side import FlowSide
from peers import Peer, pool_peer, zmq_peer

OUTSTANDING: Final = (100, 500)

SETTINGS: Final = """
import runpy
globals().update(runpy.run_path({repository!r}))
SMARTBUS_CONFIG["clients"][0]["masterPort"] = {port}
EXECUTOR_CONFIG.update(pool_processes=1, pool_maxtasksperchild=None, queue_maxsize=10000)
LOGGING_CONFIG = {{"version": 1}}
"""

BUS: Final = """
import sys
from smartbus.bus import Bus
with Bus() as bus:
    print(bus.port, flush=True)
    sys.stdin.read()
"""

DAEMON: Final = "import sys; from sbusr.cli import main; sys.exit(main(['--no-web-server']))"


@contextlib.contextmanager
def our_system() -> Iterator[FlowSide]:
    """Run bus and daemon while the body runs, and register a flow side."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(
            child([sys.executable, "-c", BUS], stdin=-1, stdout=-1, env=environment)
        )
        assert bus.stdout is not None
        port = int(bus.stdout.readline())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = str(ROOT / "settings.py")
        (folder / "settings.py").write_text(SETTINGS.format(repository=repository, port=port))
        stack.enter_context(child([sys.executable, "-c", DAEMON], cwd=folder, env=environment))
        flows = FlowSide(port, unit=19, client=0)
        stack.callback(flows.close)
        flows.wait_ready()
        yield flows


def measure(peers: dict[str, Peer], rounds: int, seconds: float) -> None:
    """Measure all cases of all peers in turn, and print them."""
    cases: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(rounds):
        for name, peer in peers.items():
            runs = {"1": microseconds(peer.latency(seconds))}
            for count in OUTSTANDING:
                runs[str(count)] = {"per_second": peer.throughput(count, seconds)}
            for case, run in runs.items():
                cases.setdefault(case, {}).setdefault(name, []).append(run)
    for case, by_peer in cases.items():
        ours = by_peer.pop("smartbus")
        figure = "p50_us" if "p50_us" in ours[0] else "per_second"
        ratios = {f"vs_{name}": _better(figure, ours, runs) for name, runs in by_peer.items()}
        report(f"smartbus, {case} outstanding", ours, **ratios)
        for name, theirs in by_peer.items():
            report(f"{name}, {case} outstanding", theirs)


def _better(figure: str, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> float:
    mine, other = (sorted(run[figure] for run in runs)[len(runs) // 2] for runs in (ours, theirs))
    return round(other / mine if figure == "p50_us" else mine / other, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run (default 2)")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        peers: dict[str, Peer] = {"smartbus": stack.enter_context(our_system())}
        if not args.alone:
            peers["zmq"] = stack.enter_context(zmq_peer())
            peers["pool"] = stack.enter_context(pool_peer())
        measure(peers, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
