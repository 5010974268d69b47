"""`rpc`: what a method may say about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

__all__ = ["Options", "options", "rpc"]

_F = TypeVar("_F", bound=Callable[..., Any])

_MARK = "__sbusr_rpc__"


class Options(NamedTuple):
    """What a method says about itself."""

    timeout: float | None = None
    """Seconds that a call may take."""
    name: str | None = None
    """What requests call it, in place of the function's own name."""


@overload
def rpc(function: _F, /) -> _F: ...
@overload
def rpc(*, timeout: float | None = None, name: str | None = None) -> Callable[[_F], _F]: ...
def rpc(
    function: _F | None = None, /, *, timeout: float | None = None, name: str | None = None
) -> _F | Callable[[_F], _F]:
    """Say something about a method of the package `methods`; most methods need no such thing.

        @sbusr.rpc(timeout=2.5, name="balance")
        def read_balance(account): ...

    Args:
        function: The method, where the decorator stands without brackets. A class method or
            static method is decorated inside (below ``@classmethod``).
        timeout: Seconds that a call may take, in place of ``EXECUTOR_CONFIG["task_timeout"]``.
            Then its worker process is replaced, and the caller gets error -32001.
        name: What requests call it in its module, in place of the function's own name.

    Raises:
        ValueError: `timeout` is not positive, or `name` is no public identifier.
        TypeError: They are of another type.
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout is {timeout!r}; it must be a positive number of seconds")
    if name is not None and (not name.isidentifier() or name.startswith("_")):
        raise ValueError(f"{name!r} is no public name of a method")

    def decorate(decorated: _F) -> _F:
        setattr(decorated, _MARK, Options(timeout, name))
        return decorated

    return decorate if function is None else decorate(function)


def options(function: object) -> Options:
    """What `function` says about itself, through wrappers that keep attributes."""
    try:
        found = vars(function).get(_MARK)
    except TypeError:  # it has no __dict__
        return Options()
    return found if isinstance(found, Options) else Options()
