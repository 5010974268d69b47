"""What there is to say about code that does not import."""

from __future__ import annotations

import importlib
import os
import traceback

__all__ = ["import_traceback"]

_IMPORTERS = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    importlib.__file__,
    "<frozen importlib",
)


def import_traceback(exc: BaseException) -> str:
    """The traceback of an import, without the frames of who imports."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_IMPORTERS):
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(exc), exc, tb))
