"""The ways to the library under test, as arguments of `smartbus.ipc.Client`.

The vendor's IPC library is for 32-bit programs alone. In its place stands the core under another
name: nothing but its functions of the vendor's interface is used, so what a vendor's library
needs runs for real, except for the vendor's defects.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from smartbus._c import lookup, opening

#: The core by its own interface; by the vendor's; a vendor's library, whose callbacks the core
#: has; the same where there is no core.
KINDS = ("core", "abi", "vendor", "thunks")

Kind = dict[str, Any]


def is_vendor(kind: Kind) -> bool:
    return bool(kind["library"] != "core")


def vendor_library(directory: Path) -> Path:
    """Write a library that has the vendor's functions and is not taken for the core.

    It is the core, whose mark cannot be found any more.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("its symbol table is ELF's")
    path = directory / "libvendor.so"
    if not path.exists():
        core = lookup.core_path().read_bytes()
        path.write_bytes(core.replace(b"\0sb_version\0", b"\0no_version\0"))
        assert not hasattr(ctypes.CDLL(str(path)), "sb_version")
    return path


def arguments(name: str, directory: Path) -> Kind:
    """Return the arguments for the kind of that name; one process has one of them for good."""
    if name == "thunks":
        vars(opening)["load_core"] = lambda: None
    if name in ("vendor", "thunks"):
        return {"library": str(vendor_library(directory))}
    return {"library": "core", "abi": name == "abi"}
