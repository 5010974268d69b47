"""``status``: how a running daemon is."""

from __future__ import annotations

import argparse
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sbusr import exits

from . import daemon
from .output import add_json, complain, paint, put, put_json, table

__all__ = ["add_arguments", "run"]

EPILOG = f"""\
The daemon is asked by HTTP (/readyz and /metrics). If it wants a token, the environment variable
{daemon.TOKEN} holds it.

exit codes:
  0  it is ready
  1  it runs, and is not ready
  2  wrong arguments
  3  the settings cannot be used
  4  it cannot be reached
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    daemon.add_arguments(parser, 10.0)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        is_ready, ready = daemon.ask_json(args, "/readyz", 503)
        metrics = daemon.ask(args, "/metrics")
    except daemon.UNREACHED as exc:
        return daemon.give_up(exc)
    numbers = read_metrics(metrics.body.decode()) if metrics.status == 200 else None
    if numbers is None:
        complain(f"no numbers: {metrics.problem}")
    if args.json:
        put_json({**ready, "numbers": numbers})
    else:
        word = paint(ready["status"], "green" if is_ready else "red")
        put(": ".join(filter(None, (word, "; ".join(ready["missing"])))))
        put("\n".join(_lines(numbers or {})))
    return exits.OK if is_ready else exits.FAILED


def read_metrics(text: str) -> dict[str, Any]:
    """The numbers of ``GET /metrics`` that say how the daemon is.

    Returns:
        ``requests`` (by method and outcome: ``count``, and ``mean``, the seconds of each),
        ``refused`` (count by error code), ``open``, ``workers`` (count by state), ``memory``
        (bytes by worker and process id), ``bus`` (whether connected, by client id), ``ipsc``,
        ``flows`` (count by HTTP status).
    """
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "le")
            found.setdefault(sample.name, {})[labels] = sample.value
    counts = found.get("sbusr_request_seconds_count", {})
    sums = found.get("sbusr_request_seconds_sum", {})
    return {
        "requests": [
            {
                "method": method,
                "outcome": outcome,
                "count": int(n),
                "mean": sums[method, outcome] / n,
            }
            for (method, outcome), n in counts.items()
        ],
        "refused": _by_label(found, "sbusr_requests_refused_total"),
        "open": int(found.get("sbusr_requests_open", {}).get((), 0)),
        "workers": _by_label(found, "sbusr_workers"),
        "memory": [
            {"worker": worker, "pid": int(pid), "bytes": int(size)}
            for (pid, worker), size in found.get("sbusr_worker_resident_bytes", {}).items()
        ],
        "bus": {client: bool(up) for client, up in _by_label(found, "sbusr_bus_connected").items()},
        "ipsc": int(found.get("sbusr_ipsc_processes", {}).get((), 0)),
        "flows": _by_label(found, "sbusr_flows_total"),
    }


def _by_label(found: dict[str, dict[tuple[str, ...], float]], name: str) -> dict[str, int]:
    return {labels[0]: int(value) for labels, value in found.get(name, {}).items()}


def _lines(numbers: dict[str, Any]) -> list[str]:
    """The numbers, for people."""
    if not numbers:
        return []
    bus = [f"client {client} {'up' if up else 'down'}" for client, up in numbers["bus"].items()]
    lines = table(
        [
            ("bus", ", ".join(bus) or "no client"),
            ("ipsc", f"{numbers['ipsc']} processes"),
            ("workers", _counts(numbers["workers"])),
            ("requests", f"{numbers['open']} open; refused by code: {_counts(numbers['refused'])}"),
            ("flows", f"by HTTP status: {_counts(numbers['flows'])}"),
        ]
    )
    if numbers["memory"]:
        lines += [
            paint("worker processes", "bold"),
            *table(
                (each["worker"], f"pid {each['pid']}", f"{each['bytes'] / 2**20:.1f} MiB")
                for each in numbers["memory"]
            ),
        ]
    if numbers["requests"]:
        lines += [
            paint("methods", "bold"),
            *table(
                (
                    each["method"] or "(none)",
                    each["outcome"],
                    f"{each['count']} requests",
                    f"{each['mean'] * 1000:.3f} ms each",
                )
                for each in numbers["requests"]
            ),
        ]
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
