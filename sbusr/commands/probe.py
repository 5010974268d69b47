"""What requests may call: all modules of the methods package, imported in a process of its own.

`survey` starts it, as ``python -m sbusr.commands.probe PACKAGE``. What its code prints goes to
standard error; the result, a JSON object, to standard output.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sbusr.importing import import_traceback
from sbusr.jsonrpc import Error
from sbusr.resolver import Resolver
from sbusr.rpc import options

__all__ = ["TIMEOUT", "main", "survey"]

TIMEOUT = 60.0
"""Seconds that the imports may take, as in a worker process."""

_ROOT = str(Path(__file__).resolve().parent.parent.parent)


def survey(package: str = "methods", timeout: float = TIMEOUT) -> dict[str, Any]:
    """Look at a methods package; this process imports nothing of it.

    Returns:
        ``methods``: of each ``name``, ``signature``, ``doc`` (one line) and ``timeout`` (seconds,
        or None); ``problems``: of each module that does not import ``module``, ``message`` and
        ``traceback``.
    """
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "sbusr.commands.probe", package],
            input=json.dumps(sys.path).encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"the import takes longer than {timeout:g} s"
    else:
        if done.stdout:
            found: dict[str, Any] = json.loads(done.stdout)
            return found
        message = f"the process that imports it has ended: exit code {done.returncode}"
    problem = {"module": package, "message": message, "traceback": ""}
    return {"methods": [], "problems": [problem]}


def main(argv: list[str]) -> None:
    """Be that process."""
    (package,) = argv
    out = os.dup(1)
    os.dup2(2, 1)
    sys.path[:] = json.load(sys.stdin)
    problems: list[dict[str, str]] = []
    modules = list(_load(package, problems))
    resolver = Resolver(package)
    names = sorted({name for module in modules for name in _names(module, package)})
    methods = [told for name in names if (told := _describe(resolver, name)) is not None]
    with open(out, "w", encoding="ascii") as file:
        json.dump({"methods": methods, "problems": problems}, file)
    sys.stdout.flush()
    os._exit(0)  # not waiting for threads that modules have started


def _load(name: str, problems: list[dict[str, str]]) -> Iterator[ModuleType]:
    """Import a module and all below it; note those that do not import."""
    try:
        module = importlib.import_module(name)
    except BaseException as exc:  # noqa: BLE001 - SystemExit too
        message = f"{type(exc).__name__}: {exc}"
        problems.append({"module": name, "message": message, "traceback": import_traceback(exc)})
        return
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        if not info.name.endswith(".__main__"):  # a program, if it is there
            yield from _load(info.name, problems)


def _names(module: ModuleType, package: str) -> Iterator[str]:
    """Names that requests might use for what is in a module."""
    prefix = f"{module.__name__}."[len(package) + 1 :]
    yield from _members(dict(vars(module)), prefix, ())


def _members(members: dict[str, Any], prefix: str, inside: tuple[type, ...]) -> Iterator[str]:
    for own, member in members.items():
        if not isinstance(member, type):
            plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            yield f"{prefix}{options(plain).name or own}"
        elif member not in inside:  # else it contains itself
            inner = {k: v for base in reversed(member.__mro__) for k, v in vars(base).items()}
            yield from _members(inner, f"{prefix}{own}.", (*inside, member))


def _describe(resolver: Resolver, name: str) -> dict[str, Any] | None:
    """What is to say about a method; None if requests may not call it."""
    try:
        method = resolver.resolve(name)
    except Error:
        return None
    try:
        signature = str(inspect.signature(method.function))
    except (TypeError, ValueError):
        signature = "(…)"
    doc = inspect.getdoc(method.function) or ""
    return {
        "name": method.name,
        "signature": signature,
        "doc": doc.partition("\n")[0],
        "timeout": method.timeout or None,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
