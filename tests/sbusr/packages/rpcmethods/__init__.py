"""Methods for the tests: what may be called, and a lot that may not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
from functools import lru_cache, partial, wraps
from os import getcwd
from pathlib import Path
from typing import Any

from sbusr import globalvars, rpc
from sbusr.jsonrpc import Error

from .deep import inner_function as imported_sibling

__all__ = ["getcwd", "imported_sibling"]

logger = logging.getLogger(__name__)
imported_builtin = len
some_partial = partial(print, "no")


def add(a: Any, b: Any = 0) -> Any:
    return a + b


def echo(txt: Any) -> Any:
    return txt


def keyword(*, name: str) -> str:
    return name


def anything(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def positional(a: Any, /, b: Any) -> list[Any]:
    return [a, b]


def fail(kind: str, *args: Any) -> None:
    raise {"ValueError": ValueError, "TypeError": TypeError, "SystemExit": SystemExit}[kind](*args)


def wrong_inside(_a: Any) -> None:
    add()  # type: ignore[call-arg]


def own_error() -> None:
    raise Error(code=4711, message="my own", data={"why": "because"})


def bad_error(kind: str) -> None:
    """Raise an error that can hardly be told."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    message: Any = Mute() if kind == "message" else "told"
    raise Error(code=4712, message=message, data={"deep": deep, "mute": Mute()}.get(kind))


def leave_result() -> Any:
    """Return something that raises ``SystemExit`` when one looks at it."""

    class Leaving:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise SystemExit(5)

    return Leaving()


def log_oddly(text: str) -> None:
    """Log a text, and an object that has no text."""

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    logger.error("%s", text, extra={"mute": Mute()})


def end_work() -> None:
    """Break the worker's main thread while another thread goes on."""
    threading.Thread(target=time.sleep, args=(60,)).start()

    def handler(*_: Any) -> None:
        raise RuntimeError("outside of the method")

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def unserialisable() -> Any:
    return object()


def bad_text() -> Any:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise Bad


def big(size: int) -> str:
    return "x" * size


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def pid() -> int:
    return os.getpid()


def suicide(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave() -> None:
    os._exit(7)


def log(level: int, message: str) -> None:
    logger.log(level, "said: %s", message, extra={"thing": object()})


def log_exception() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("caught")


def prog_args() -> Any:
    return vars(globalvars.prog_args) if globalvars.prog_args else None


def append(path: str, text: str) -> None:
    with Path(path).open("a") as file:
        file.write(text)


def wait_for(path: str, appears: str) -> None:
    """Write ``path``, then wait for ``appears``."""
    Path(path).touch()
    while not Path(appears).exists():
        time.sleep(0.002)


def child_process() -> int:
    """Leave a program behind that sleeps."""
    return subprocess.Popen(["sleep", "30"], start_new_session=True).pid


def fork() -> int:
    """Return twice: here, and in a copy of this process."""
    return os.fork()


def close_socket() -> None:
    """Close everything, so that it looks as if this process had ended."""
    os.closerange(3, 100)
    time.sleep(60)


def decorate(function: Any) -> Any:
    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return ["decorated", function(*args)]

    return wrapper


@decorate
def decorated(a: Any) -> Any:
    return a


@lru_cache(maxsize=8)
def cached(a: Any) -> Any:
    return a


async def gather(*delays: float) -> list[float]:
    return list(await asyncio.gather(*(asyncio.sleep(delay, delay) for delay in delays)))


async def fail_later() -> None:
    await asyncio.sleep(0)
    raise ValueError("later")


async def leave_task() -> str:
    asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    return "left"


@rpc(name="renamed")
def own_name(a: Any) -> Any:
    return ["renamed", a]


@rpc(timeout=0.3)
def hasty(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@rpc
def plain(a: Any) -> Any:
    return a


def grow(mebibytes: int) -> int:
    _grown.append(b"x" * (mebibytes << 20))
    return len(_grown)


_grown: list[bytes] = []


def _private() -> str:
    return "no"


class Callable:
    def __call__(self) -> str:
        return "no"


instance = Callable()
bound = instance.__call__


class Base:
    @classmethod
    def inherited(cls) -> str:
        return cls.__name__


class Thing(Base, dict):  # type: ignore[type-arg]
    attribute = 1
    foreign = staticmethod(getcwd)
    foreign_python = staticmethod(wraps)

    @classmethod
    def klass(cls, a: Any) -> Any:
        return [cls.__name__, a]

    @staticmethod
    def static(a: Any = None) -> Any:
        return a

    def instance_method(self) -> str:
        return "no"

    @property
    def prop(self) -> str:
        return "no"

    @classmethod
    def _hidden(cls) -> str:
        return "no"

    @classmethod
    @rpc(name="klass_renamed", timeout=5)
    def klass_own_name(cls) -> str:
        return "renamed"

    class Nested:
        @staticmethod
        def static() -> str:
            return "nested"


class _Private:
    @staticmethod
    def static() -> str:
        return "no"


def __getattr__(name: str) -> Any:
    raise AssertionError(f"module attribute {name} was asked for")
