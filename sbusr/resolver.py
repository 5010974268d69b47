"""From the method name of a request to a callable that it may run.

A request may name public callables *defined in* the methods package, and nothing else:

- functions of the package and of its modules (``add``, ``weather.sk``), decorated ones included;
- class methods and static methods of public classes defined there (``mymodule.MyClass.mymethod``).

Those that `sbusr.rpc` has given a name have that one instead of their own.

Never: what a module merely imported, names with a leading underscore at any level, instance
methods, classes and other objects that happen to be callable, modules outside the package.
Nothing is looked up with ``getattr``, so no code of the package decides what a name means.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

from .jsonrpc import INTERNAL_ERROR, Error, InvalidParamsError, MethodNotFoundError
from .rpc import options

__all__ = ["Method", "Resolver"]

_MISSING = object()
_MAX_NAME = 500
"""Longest method name that is looked at, in characters."""


class Signature:
    """What arguments a function takes. The rules are Python's own for calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        positional: list[inspect.Parameter] = []
        named: list[inspect.Parameter] = []
        self.most: float = 0
        """How many positional arguments it takes at most."""
        self._any_name = False
        for parameter in inspect.signature(function).parameters.values():
            kind = parameter.kind
            if kind is parameter.VAR_POSITIONAL:
                self.most = float("inf")
            elif kind is parameter.VAR_KEYWORD:
                self._any_name = True
            else:
                if kind is not parameter.KEYWORD_ONLY:
                    positional.append(parameter)
                if kind is not parameter.POSITIONAL_ONLY:
                    named.append(parameter)
        self.most = max(self.most, len(positional))
        self._order = [parameter.name for parameter in positional]
        self._names = {parameter.name for parameter in named}
        self._required = [p.name for p in (*positional, *named) if p.default is p.empty]
        only_named = {p.name for p in named}.difference(self._order)
        self.least: float = sum(p.default is p.empty for p in positional)
        """How many positional arguments it needs if there are no named ones."""
        if only_named.intersection(self._required):
            self.least = float("inf")

    def mistake(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Say what is wrong with these arguments, if anything is."""
        if len(args) > self.most:
            return f"{len(args)} arguments are given, at most {self.most} are taken"
        given = set(self._order[: len(args)])
        for name in kwargs:
            if name in self._names:
                if name in given:
                    return f"argument {name!r} is given twice"
                given.add(name)
            elif not self._any_name:
                return f"there is no argument {name!r}"
        missing = [name for name in self._required if name not in given]
        return f"argument {missing[0]!r} is missing" if missing else None


class Method:
    """A callable that a request may name.

    Arguments are checked before the call, so that a wrong call of a method is distinguishable from
    a ``TypeError`` inside it.
    """

    __slots__ = ("_least", "_most", "_signature", "function", "name", "timeout")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        plain = function.__func__ if isinstance(function, MethodType) else function
        self.timeout = options(plain).timeout or 0.0
        self._signature: Signature | None
        try:
            self._signature = Signature(function)
        except (TypeError, ValueError):  # nothing known: the call itself decides
            self._signature = None
            self._least, self._most = 0.0, float("inf")
        else:
            self._least, self._most = self._signature.least, self._signature.most

    def accepts(self, count: int) -> bool:
        """Whether it can be called with ``count`` positional arguments: the quick check."""
        return self._least <= count <= self._most

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Check arguments.

        Raises:
            InvalidParamsError: They do not fit; ``data`` says why.
        """
        if self._signature is not None and (why := self._signature.mistake(args, kwargs)):
            raise InvalidParamsError(data=why)


class Resolver:
    """Finds methods in one package and remembers them.

    Args:
        package: Name of the methods package; it is imported when first needed.
    """

    def __init__(self, package: str = "methods") -> None:
        self.package = package
        self.found: dict[str, Method] = {}
        """Every method found so far, by name (bounded by what the package defines)."""

    def load(self, *, whole: bool = False) -> None:
        """Import the package.

        Args:
            whole: Also every module in it that requests could make this process import, except
                in directories without ``__init__.py``.

        Raises:
            BaseException: Whatever its code raises.
        """
        package = importlib.import_module(self.package)
        if whole:
            _import_modules(package)

    def resolve(self, name: str) -> Method:
        """Return the method called ``name``.

        Raises:
            MethodNotFoundError: There is none, or it may not be called from outside.
            Error: (``INTERNAL_ERROR``) Its module fails to import.
        """
        method = self.found.get(name)
        if method is None:
            try:
                method = Method(name, self._find(name))
            except MethodNotFoundError:
                raise MethodNotFoundError(data=name[:_MAX_NAME]) from None
            self.found[name] = method
        return method

    def _find(self, name: str) -> Callable[..., Any]:
        parts = name.split(".")
        if len(name) > _MAX_NAME or not all(map(_is_public, parts)):
            raise MethodNotFoundError
        scope: ModuleType | type = importlib.import_module(self.package)
        for part in parts[:-1]:
            scope = self._enter(scope, part)
        found = (
            self._class_member(scope, parts[-1])
            if isinstance(scope, type)
            else self._module_function(scope, parts[-1])
        )
        if found is None:
            raise MethodNotFoundError
        return found

    def _enter(self, scope: ModuleType | type, part: str) -> ModuleType | type:
        """Go from a module or class to a class or submodule in it."""
        inner = vars(scope).get(part, _MISSING)
        if isinstance(inner, type):
            if inner.__module__ == (
                scope.__module__ if isinstance(scope, type) else scope.__name__
            ):
                return inner
        elif isinstance(scope, ModuleType):
            return self._submodule(scope, part)
        raise MethodNotFoundError

    def _submodule(self, parent: ModuleType, part: str) -> ModuleType:
        name = f"{parent.__name__}.{part}"
        module = sys.modules.get(name)
        if module is None:
            if "__path__" not in vars(parent):  # no package
                raise MethodNotFoundError
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError as exc:
                if exc.name == name:
                    raise MethodNotFoundError from None
                raise _broken(name, exc) from exc
            except BaseException as exc:  # SystemExit too: it is not our end
                raise _broken(name, exc) from exc
        if type(module) is not ModuleType or module.__name__ != name:
            # A module may put anything into sys.modules under its name; that is not a module here.
            raise MethodNotFoundError
        return module

    def _module_function(self, module: ModuleType, name: str) -> Callable[..., Any] | None:
        def is_ours(found: Any) -> bool:
            return _is_function(found) and found.__module__ == module.__name__

        found = _named(vars(module), name, is_ours)
        return found if is_ours(found) else None

    def _class_member(self, cls: type, name: str) -> Callable[..., Any] | None:
        for base in cls.__mro__:
            member = _named(vars(base), name, lambda _: True)
            if member is _MISSING:
                continue
            if (
                isinstance(member, (classmethod, staticmethod))
                and self._is_ours(base)
                and _is_function(member.__func__)
                and self._is_ours(member.__func__)
            ):
                bound: Callable[..., Any] = member.__get__(None, cls)
                return bound
            return None
        return None

    def _is_ours(self, thing: Any) -> bool:
        module = thing.__module__
        return module == self.package or (
            isinstance(module, str) and module.startswith(self.package + ".")
        )


def _import_modules(package: ModuleType) -> None:
    """Import all public modules of a package, and of the packages in it."""
    for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        if _is_public(module.name.rpartition(".")[2]):
            inner = importlib.import_module(module.name)
            if module.ispkg:
                _import_modules(inner)


def _named(members: Mapping[str, Any], name: str, counts: Callable[[Any], bool]) -> Any:
    """The member that requests call ``name``; `_MISSING` if there is none that ``counts``."""
    found = members.get(name, _MISSING)
    if found is not _MISSING and options(_inside(found)).name in (None, name):
        return found
    for own, member in members.items():
        if _is_public(own) and options(_inside(member)).name == name and counts(member):
            return member
    return _MISSING


def _inside(member: Any) -> Any:
    """The function of a class method or static method; else the member itself."""
    return member.__func__ if isinstance(member, (classmethod, staticmethod)) else member


def _is_public(part: str) -> bool:
    return part.isidentifier() and not part.startswith("_")


def _is_function(thing: Any) -> bool:
    """A function written in Python, perhaps inside wrappers such as ``functools.lru_cache``."""
    for _ in range(50):  # a loop of __wrapped__ would be the author's own joke
        if type(thing) is FunctionType:
            return True
        if isinstance(thing, type) or not callable(thing):
            return False
        try:
            thing = vars(thing).get("__wrapped__")
        except TypeError:  # it has no __dict__
            return False
    return False


def _broken(name: str, exc: BaseException) -> Error:
    return Error(
        code=INTERNAL_ERROR,
        message=f"Module {name} fails to import: {type(exc).__name__}: {exc}",
    )
