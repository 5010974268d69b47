"""Choosing the back end for a library that was found."""

from __future__ import annotations

from .backend import IpcBackend, NetBackend
from .core_api import Core
from .core_ipc import CoreIpc
from .core_net import CoreNet
from .lookup import IPC, find, load_core
from .vendor_ipc import VendorIpc
from .vendor_net import VendorNet

# The vendor's library keeps its state per process and cannot be released (NET.md 9.1), so
# there is one object for each file, for the life of the process.
_vendors: dict[str, VendorNet] = {}
_ipc_vendors: dict[str, VendorIpc] = {}


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


def open_ipc(lib_path: str = "", *, abi: bool = False) -> IpcBackend:
    """Find an IPC client library and return the back end for it; see `open_net`.

    Raises:
        LibraryNotFoundError: No library was usable; it lists what was tried.
    """
    found = find(lib_path, family=IPC)
    if found.is_core and not abi:
        return CoreIpc(Core(found.path))
    vendor = _ipc_vendors.get(found.path)
    if vendor is None:
        core = Core(found.path) if found.is_core else load_core()
        vendor = _ipc_vendors[found.path] = VendorIpc(found.path, core, is_core=found.is_core)
    return vendor


def abandon() -> None:
    """Forget the libraries of the parent process: this is a forked child."""
    for vendor in (*_vendors.values(), *_ipc_vendors.values()):
        vendor.abandon()
