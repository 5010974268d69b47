"""The RPC methods: a request for ``a.b`` is executed by ``methods.a.b``.

Put your own here or in modules of this package; every public function, and every class method and
static method of a public class, can be called from a flow. The ones below are examples.
"""

import logging
import time

_logger = logging.getLogger(__name__)


def add(a, b):
    """Add two values."""
    return a + b


def echo(txt):
    """Return what was received, unchanged."""
    return txt


def exception(*args):
    """Raise an exception with these arguments."""
    raise Exception(*args)


def plus(*args):
    """Return the sum of all arguments."""
    return sum(args)


def sleep(seconds):
    """Sleep for so many seconds."""
    time.sleep(seconds)


def warnlog(msg):
    """Write a warning to the log."""
    _logger.warning("%s", msg)
