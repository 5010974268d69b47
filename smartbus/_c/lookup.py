"""Finding the client libraries, NET and IPC, late: when it is first needed, never at import.

The order is: the path that the caller gave, the path in the environment, the system's
search path under the vendor's name, the core that came with this package, the vendor's
wheel if it is installed (it has NET alone). A path that was *given* is not replaced by
something else when it fails. The words ``core`` and ``vendor`` name one of the last two
(for IPC, ``vendor`` names what is on the search path).
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from smartbus.errors import LibraryNotFoundError

from .abi import (
    IPC_FUNCTIONS,
    IPC_PREFIX,
    NET_FUNCTIONS,
    NET_PREFIX,
    IpcAbi,
    NetAbi,
    Signature,
    bind,
)
from .core_api import Core

ENVIRONMENT: Final = "SMARTBUS_NETCLI_LIB"
VENDOR_NAME: Final = "busnetcli"
IPC_ENVIRONMENT: Final = "SMARTBUS_IPCCLI_LIB"
IPC_VENDOR_NAME: Final = "busipccli"
VENDOR_WHEEL: Final = "hesong-ipsc-busnetcli"
CORE_NAME: Final = "smartbus_core"

_NOT_BUILT: Final = (
    "no such file: it was not built (in a checkout, `make core` does; elsewhere, install this "
    "package again where there is a C compiler)"
)
_SUFFIX: Final = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_PREFIX: Final = "" if sys.platform == "win32" else "lib"


def file_name(name: str) -> str:
    """Return the platform's file name of library `name`."""
    return f"{_PREFIX}{name}{_SUFFIX}"


class Found(NamedTuple):
    """A library that was found and loaded."""

    path: str
    #: Why this one: "lib_path", "environment", "system", "bundled" or "wheel".
    rule: str
    #: The library is the core.
    is_core: bool


class Family(NamedTuple):
    """One of the two kinds of client library."""

    #: The variable that names the library.
    environment: str
    #: The vendor's name of it.
    vendor_name: Callable[[], str]
    #: Raises AttributeError for a library that is none.
    check: Callable[[ctypes.CDLL], object]
    #: Its functions, by name without the prefix.
    functions: Mapping[str, Signature]
    prefix: str
    #: The vendor has it in a wheel.
    has_wheel: bool


NET: Final = Family(
    ENVIRONMENT, lambda: VENDOR_NAME, NetAbi, NET_FUNCTIONS, NET_PREFIX, has_wheel=True
)
IPC: Final = Family(
    IPC_ENVIRONMENT, lambda: IPC_VENDOR_NAME, IpcAbi, IPC_FUNCTIONS, IPC_PREFIX, has_wheel=False
)

Attempts = list[tuple[str, str]]
# What a rule is called, and the files that it names; it may add to the attempts.
_Rule = tuple[str, Callable[[Attempts], Iterator[str]]]


def find(
    lib_path: str = "", environ: Mapping[str, str] | None = None, *, family: Family = NET
) -> Found:
    """Return the first usable client library.

    Args:
        lib_path: A file, a directory that holds the library, ``"core"``, ``"vendor"``, or ""
            for the default order.
        environ: Where to look for the variable of `family`; the process's environment if None.
        family: Which kind of library.

    Raises:
        LibraryNotFoundError: No library was usable; it lists what was tried.
    """
    attempts: Attempts = []
    rules = _rules(lib_path, os.environ if environ is None else environ, family)
    for rule, candidates in rules:
        for path in candidates(attempts):
            found = _try(path, rule, attempts, family)
            if found is not None:
                return found
    raise LibraryNotFoundError(attempts)


def survey(
    environ: Mapping[str, str] | None = None, *, family: Family = NET
) -> tuple[list[Found], Attempts]:
    """Try every rule, not only up to the first; for ``python -m smartbus info``."""
    attempts: Attempts = []
    found: list[Found] = []
    given = (os.environ if environ is None else environ).get(family.environment, "")
    source = f"environment {family.environment}"
    rules = _explicit(given, source, "environment", family) if given else []
    for rule, candidates in [*rules, *_default_rules(family)]:
        for path in candidates(attempts):
            usable = _try(path, rule, attempts, family)
            if usable is not None:
                found.append(usable)
                break
    return found, attempts


def load_core() -> Core | None:
    """Load the bundled core, or return None where there is none that fits."""
    try:
        return require_core()
    except LibraryNotFoundError:
        return None


def require_core() -> Core:
    """Load the bundled core.

    Raises:
        LibraryNotFoundError: It is missing or does not fit; it says why.
    """
    path = core_path()
    try:
        return Core(str(path))
    except (OSError, AttributeError) as error:
        why = _without(str(path), str(error)) if path.is_file() else _NOT_BUILT
        raise LibraryNotFoundError([(f"bundled core {path}", why)]) from None


def describe(found: Found, *, family: Family = NET) -> dict[str, Any]:
    """Return what there is to know about a library, as plain values."""
    bound, missing = bind(ctypes.CDLL(found.path), family.prefix, dict(family.functions))
    facts: dict[str, Any] = {
        "path": found.path,
        "rule": found.rule,
        "kind": "core" if found.is_core else "vendor",
        "bound": [family.prefix + name for name in bound],
        "missing": [family.prefix + name for name in missing],
    }
    if found.is_core:
        core = Core(found.path)
        facts["version"] = core.version_text
        facts["waits_with"] = core.backend().decode("ascii")
    return facts


def core_path() -> Path:
    """Return where the bundled core belongs, whether it is there or not."""
    return Path(__file__).with_name(file_name(CORE_NAME))


# ---- rules -------------------------------------------------------------------------------


def _rules(lib_path: str, environ: Mapping[str, str], family: Family) -> list[_Rule]:
    if lib_path:
        return _explicit(lib_path, "lib_path", "lib_path", family)
    given = environ.get(family.environment, "")
    if given:
        return _explicit(given, f"environment {family.environment}", "environment", family)
    return _default_rules(family)


def _default_rules(family: Family) -> list[_Rule]:
    rules: list[_Rule] = [("system", partial(_system, family)), ("bundled", _bundled)]
    if family.has_wheel:
        rules.append(("wheel", _wheel))
    return rules


def _explicit(value: str, source: str, rule: str, family: Family) -> list[_Rule]:
    if value == "core":
        return [("bundled", _bundled)]
    if value == "vendor":
        # Without a wheel the vendor's library is the one that the system knows.
        return [("wheel", _wheel)] if family.has_wheel else _default_rules(family)[:1]

    def given(attempts: Attempts) -> Iterator[str]:
        path = Path(value)
        if path.is_dir():
            names = [file_name(family.vendor_name()), file_name(CORE_NAME)]
            there = [str(path / name) for name in names if (path / name).is_file()]
            if not there:
                attempts.append((f"{source} {value}", f"directory without {' or '.join(names)}"))
            yield from there
        else:
            yield value

    return [(rule, given)]


def _system(family: Family, attempts: Attempts) -> Iterator[str]:
    del attempts
    # The loader searches its own path. ctypes.util.find_library would start a compiler.
    yield file_name(family.vendor_name())


def _bundled(attempts: Attempts) -> Iterator[str]:
    path = core_path()
    if path.is_file():
        yield str(path)
    else:
        attempts.append((f"bundled core {path}", _NOT_BUILT))


def _wheel(attempts: Attempts) -> Iterator[str]:
    try:
        files = importlib.metadata.distribution(VENDOR_WHEEL).files or []
    except importlib.metadata.PackageNotFoundError:
        attempts.append((f"vendor's wheel {VENDOR_WHEEL}", "not installed"))
        return
    name = file_name(VENDOR_NAME)
    here = [platform.system().lower(), platform.machine().lower()]
    fitting = [
        file
        for file in files
        if file.name == name and all(part in str(file).lower().split("/") for part in here)
    ]
    if not fitting:
        attempts.append((f"vendor's wheel {VENDOR_WHEEL}", f"has no {name} for {' '.join(here)}"))
    for file in fitting:
        yield str(file.locate())


def _try(path: str, rule: str, attempts: Attempts, family: Family) -> Found | None:
    what = f"{rule} {path}"
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        attempts.append((what, _explained(_without(path, str(error)))))
        return None
    is_core = hasattr(library, "sb_version")
    try:
        if is_core:
            Core(path)
        else:
            family.check(library)
    except AttributeError as error:
        attempts.append((what, str(error)))
        return None
    return Found(path, rule, is_core)


def _explained(reason: str) -> str:
    """Return the loader's `reason` with what it means, where it is not plain."""
    bits = 64 if sys.maxsize > 1 << 32 else 32
    if f"ELFCLASS{96 - bits}" in reason:
        return f"{reason} (it is for programs of {96 - bits} bits; this Python is one of {bits})"
    return reason


def _without(path: str, reason: str) -> str:
    """Return the loader's `reason`, which often starts with the path, without it."""
    return reason.removeprefix(path).lstrip(": ") or reason
