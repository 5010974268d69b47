"""The one IPC client that a process has."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from typing import TYPE_CHECKING

from smartbus.errors import ClientExistsError

if TYPE_CHECKING:
    from .client import Client

#: Held while the instance is looked up and made, so that there never are two.
lock = threading.RLock()
_instance: Client | None = None


def current() -> Client | None:
    """Return the client, if there is one."""
    return _instance


def check_free() -> None:
    """Hold `lock`.

    Raises:
        ClientExistsError: There is a client.
    """
    if _instance is not None:
        raise ClientExistsError(
            -22, f"this process has its IPC client already, {_instance!r}: destroy() it first"
        )


def take(client: Client) -> None:
    """Make `client` the one; hold `lock` since `check_free`."""
    global _instance
    _instance = client


def leave(client: Client) -> None:
    """Make room for another one, if `client` is the one."""
    global _instance
    with lock:
        if _instance is client:
            _instance = None


def _at_exit() -> None:
    client = _instance
    if client is not None:
        warnings.warn(f"{client!r} was not disposed of", ResourceWarning, stacklevel=2)
        client.dispose()


def _after_fork() -> None:
    global _instance, lock
    lock = threading.RLock()  # a thread that is not here any more may have held it
    client, _instance = _instance, None
    if client is not None:
        client._abandon()  # noqa: SLF001 - the other half of that class


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
