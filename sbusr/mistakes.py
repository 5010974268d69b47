"""Mistakes in the settings module: where they are, and what was probably meant."""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec.inspect

__all__ = ["describe", "near", "place", "strays"]

_Path = tuple[str | int, ...]
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$")


def describe(module: ModuleType, name: str, kind: Any, error: str) -> str:
    """Say what is wrong with a setting, in which line, and what was meant.

    Args:
        module: The settings.
        name: The setting.
        kind: Type that it should have.
        error: What msgspec says: text, and path of the value that is wrong.
    """
    problem, _, where = error.partition(" - at `$")
    where = where.rstrip("`")
    path = tuple(key or int(index) for key, index in _STEP.findall(where))
    if unknown := _UNKNOWN.match(problem):
        problem += near(unknown[1], _fields(kind, path))
        path += (unknown[1],)
    return f"{place(module, name, path)}: {name}{where}: {problem}"


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean …?`` for a name that is like a known one, else nothing."""
    found = difflib.get_close_matches(name.lower(), by_case := {k.lower(): k for k in known}, 1)
    return f"; did you mean `{by_case[found[0]]}`?" if found else ""


def place(module: ModuleType, name: str = "", path: Sequence[str | int] = ()) -> str:
    """File and line of a setting, or of what is inside it, as far as they are known."""
    file = getattr(module, "__file__", None)
    line = max(
        (_descend(value, path, at, line) for at, value, line in _assignments(file, name)),
        default=(0, 0),
    )[1]
    return f"{file or module.__name__}:{line}" if line else str(file or module.__name__)


def strays(module: ModuleType, known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that look like settings and are none.

    Yields:
        What is to say about each, and the setting that was probably meant (or nothing).
    """
    known = set(known)
    file = getattr(module, "__file__", None)
    names = dict.fromkeys(name for name, _, _, _ in _all_assignments(file))
    for name in names:
        if name.isupper() and not name.startswith("_") and name not in known:
            hint = near(name, known)
            yield f"{place(module, name)}: {name} is no setting of the daemon{hint}", hint


def _fields(kind: Any, path: Sequence[str | int]) -> set[str]:
    """Names of the fields that the value at ``path`` may have."""
    kinds = [msgspec.inspect.type_info(kind)]
    for step in (*path, None):
        kinds = [each for k in kinds for each in getattr(k, "types", (k,))]  # of a union
        if step is None:
            break
        inner: list[Any] = []
        for each in kinds:
            if isinstance(each, msgspec.inspect.StructType):
                inner += [field.type for field in each.fields if field.encode_name == step]
            elif isinstance(each, msgspec.inspect.ListType):
                inner.append(each.item_type)
        kinds = inner
    structs = [each for each in kinds if isinstance(each, msgspec.inspect.StructType)]
    return {field.encode_name for each in structs for field in each.fields}


def _assignments(file: str | None, name: str) -> Iterator[tuple[_Path, ast.expr, int]]:
    for target, path, value, line in _all_assignments(file):
        if target == name:
            yield path, value, line


def _all_assignments(file: str | None) -> Iterator[tuple[str, _Path, ast.expr, int]]:
    """All ``NAME = …`` and ``NAME["key"] = …``: name, keys, value, line."""
    if file is None:
        return
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(Path(file).read_bytes())):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    keys: list[str | int] = []
                    inner: ast.expr = target
                    while isinstance(inner, ast.Subscript) and isinstance(
                        inner.slice, ast.Constant
                    ):
                        keys.insert(0, inner.slice.value)  # type: ignore[arg-type] # a key of JSON
                        inner = inner.value
                    if isinstance(inner, ast.Name):
                        yield inner.id, tuple(keys), node.value, node.lineno


def _descend(value: ast.expr, path: Sequence[str | int], at: _Path, line: int) -> tuple[int, int]:
    """How far a literal can be followed along ``path``, and the line where that ends."""
    path = tuple(path)
    if path[: len(at)] != at:
        return 0, 0
    depth = len(at)
    for step in path[len(at) :]:
        found = _member(value, step)
        if found is None:
            break
        (value, line), depth = found, depth + 1
    return depth + 1, line


def _member(value: ast.expr, step: str | int) -> tuple[ast.expr, int] | None:
    """A member of a literal, and its line."""
    if isinstance(value, ast.Dict):
        for key, member in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == step:
                return member, key.lineno
    elif isinstance(value, (ast.List, ast.Tuple)) and isinstance(step, int):
        if step < len(value.elts):
            return value.elts[step], value.elts[step].lineno
    elif isinstance(value, ast.Call):  # dict(key=value)
        for keyword in value.keywords:
            if keyword.arg == step:
                return keyword.value, keyword.value.lineno
    return None
