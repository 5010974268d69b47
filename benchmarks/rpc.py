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
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from asking import Peer, compare
from common import ROOT, bus_process, child, environment
from flow_side import FlowSide
from peers import pool_peer, zmq_peer

OUTSTANDING: Final = (100, 500)

SETTINGS: Final = """
import runpy
globals().update(runpy.run_path({repository!r}))
SMARTBUS_CONFIG["clients"][0]["masterPort"] = {port}
EXECUTOR_CONFIG.update(pool_processes=1, pool_maxtasksperchild=None, queue_maxsize=10000)
LOGGING_CONFIG = {{"version": 1}}
"""

DAEMON: Final = "import sys; from sbusr.cli import main; sys.exit(main(['--no-web-server']))"


@contextlib.contextmanager
def our_system() -> Iterator[FlowSide]:
    """Run bus and daemon while the body runs, and register a flow side."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(bus_process()).port
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = str(ROOT / "settings.py")
        (folder / "settings.py").write_text(SETTINGS.format(repository=repository, port=port))
        stack.enter_context(child([sys.executable, "-c", DAEMON], cwd=folder, env=environment()))
        flows = FlowSide(port, unit=19, client=0)
        stack.callback(flows.close)
        flows.wait_ready()
        yield flows


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
        compare(peers, OUTSTANDING, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
