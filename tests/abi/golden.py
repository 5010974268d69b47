"""The golden frames, against what a library really sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parents[1] / "data"


def _load() -> dict[str, dict[str, Any]]:
    found = {}
    for name in ("vectors-net", "vectors-net-2018", "vectors-ipc"):
        for vector in json.loads((_DATA / f"{name}.json").read_text("utf-8"))["vectors"]:
            found[f"ipc {vector['name']}" if "ipc" in name else vector["name"]] = vector
    return found


_VECTORS = _load()


def golden(name: str) -> bytes:
    """Return a golden frame; names of vectors-ipc.json have "ipc " in front."""
    return bytes.fromhex(_VECTORS[name]["hex"])


def comparable(raw: bytes, name: str, kind: str) -> bytes:
    """Return `raw`, ready for a comparison with the golden frame `name`.

    Where the vendor's library sends whatever it finds in its memory, the golden frames have
    zeros; so has the core, and its bytes are compared as they are.
    """
    blank = bytearray(raw)
    if kind == "vendor":
        for region in _VECTORS[name].get("zeroed", ()):
            offset, length = region["offset"], region["length"]
            blank[offset : offset + length] = bytes(len(blank[offset : offset + length]))
    return bytes(blank)
