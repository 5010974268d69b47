"""The RPC methods: a request for ``a.b`` is executed by ``methods.a.b``.

Put your own here or in modules of this package; every public function, and every class method and
static method of a public class, can be called from a flow. The ones below are examples.
"""

import logging
import time
from typing import Any, NoReturn

_logger = logging.getLogger(__name__)


def add(a: Any, b: Any) -> Any:
    """Add two values."""
    return a + b


def echo(txt: Any) -> Any:
    """Return what was received, unchanged."""
    return txt


def exception(*args: Any) -> NoReturn:
    """Raise an exception with these arguments."""
    raise Exception(*args)  # noqa: TRY002 - this is what the example is about


def plus(*args: Any) -> Any:
    """Return the sum of all arguments."""
    return sum(args)


def sleep(seconds: float) -> None:
    """Sleep for so many seconds; meanwhile this worker process executes nothing else."""
    time.sleep(seconds)


def warnlog(msg: str) -> None:
    """Write a warning to the log."""
    _logger.warning("%s", msg)
