"""The one IPC client that a process has."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from typing import TYPE_CHECKING, Final

from smartbus.errors import ClientExistsError, NotInitializedError

if TYPE_CHECKING:
    from .client import Client

_FIRST: Final = "there is no IPC client; create() one first"
#: What is said of a client in a forked child.
_FORKED: Final = (
    "belongs to the parent of this forked process: create() another one here, with another client "
    'id; or start processes with multiprocessing\'s "spawn"'
)

#: Held while the instance is looked up and made, so that there never are two.
lock = threading.RLock()
_instance: Client | None = None
_missing = _FIRST  # why there is none


def current() -> Client | None:
    """Return the client, if there is one."""
    return _instance


def require() -> Client:
    """Return the client.

    Raises:
        NotInitializedError: There is none, or none since a fork.
    """
    if _instance is None:
        raise NotInitializedError(-14, _missing)
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
    global _instance, _missing
    _instance, _missing = client, _FIRST


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
    global _instance, lock, _missing
    lock = threading.RLock()  # a thread that is not here any more may have held it
    client, _instance = _instance, None
    if client is not None:
        _missing = f"the IPC client {_FORKED}"
        client._abandon(_FORKED)  # noqa: SLF001 - the other half of that class


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
