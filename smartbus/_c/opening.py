"""Choosing the back end for a library that was found."""

from __future__ import annotations

from .backend import NetBackend
from .core_api import Core
from .core_net import CoreNet
from .lookup import find, load_core
from .vendor_net import VendorNet

# The vendor's library keeps its state per process and cannot be released (NET.md 9.1), so
# there is one object for each file, for the life of the process.
_vendors: dict[str, VendorNet] = {}


def open_net(lib_path: str = "", *, abi: bool = False) -> NetBackend:
    """Find a NET client library and return the back end for it.

    Args:
        lib_path: See `lookup.find`.
        abi: Use even the core through the vendor's interface.

    Raises:
        LibraryNotFoundError: No library was usable; it lists what was tried.
    """
    found = find(lib_path)
    if found.is_core and not abi:
        return CoreNet(Core(found.path))
    vendor = _vendors.get(found.path)
    if vendor is None:
        core = Core(found.path) if found.is_core else load_core()
        vendor = _vendors[found.path] = VendorNet(found.path, core, is_core=found.is_core)
    return vendor


def abandon() -> None:
    """Forget the libraries of the parent process: this is a forked child."""
    for vendor in _vendors.values():
        vendor.abandon()
