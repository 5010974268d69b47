from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbusr.jsonrpc import Error, InvalidParamsError, MethodNotFoundError
from sbusr.resolver import Method, Resolver

if TYPE_CHECKING:
    from pathlib import Path

GOOD = [
    "add",
    "echo",
    "decorated",
    "cached",
    "deep.inner_function",
    "deep.deeper.bottom",
    "Thing.klass",
    "Thing.static",
    "Thing.inherited",
    "Base.inherited",
    "Thing.Nested.static",
]

BAD = [
    "",
    ".",
    "..",
    "nothing",
    "add.",
    ".add",
    "add.__call__",
    "add.__globals__",
    "rpcmethods.add",
    "methods.add",
    # imported things
    "getcwd",
    "os",
    "os.system",
    "os.path.join",
    "subprocess.run",
    "Path",
    "Path.cwd",
    "wraps",
    "imported_builtin",
    "imported_sibling",
    "globalvars.executor",
    "deep.deeper.json.dumps",
    "Error",
    # private names
    "_private",
    "_Private.static",
    "Thing._hidden",
    "__init__",
    "__init__.add",
    "__builtins__.eval",
    "__import__",
    "__getattr__",
    "__class__",
    "Thing.__init__",
    "Thing.__class__",
    "Thing.__subclasses__",
    # things that are no functions
    "logger",
    "logger.warning",
    "Thing",
    "Thing.attribute",
    "Thing.instance_method",
    "Thing.prop",
    "Thing.fromkeys",
    "Thing.foreign",
    "Thing.foreign_python",
    "Thing.mro",
    "instance",
    "bound",
    "some_partial",
    "deep",
    "deep.deeper",
    "deep.nothing",
    "nothing.at.all",
    # other spellings
    "add ",
    " add",
    "add\0",
    "add\n",
    "ADD",
    "deep/deeper.bottom",
    "deep\\deeper.bottom",
    "..sys.exit",
    "\uff41dd",
    "\ud800",
    "a" * 10_000,
    "a." * 10_000,
]


@pytest.mark.parametrize("name", GOOD)
def test_found(packages: Path, name: str) -> None:
    method = Resolver("rpcmethods").resolve(name)
    assert callable(method.function)
    assert method.name == name


@pytest.mark.parametrize("name", BAD)
def test_not_found(packages: Path, name: str) -> None:
    resolver = Resolver("rpcmethods")
    with pytest.raises(MethodNotFoundError) as caught:
        resolver.resolve(name)
    assert name.startswith(caught.value.data)
    assert not resolver.found


def test_methods_are_remembered(packages: Path) -> None:
    resolver = Resolver("rpcmethods")
    assert resolver.resolve("add") is resolver.resolve("add")
    assert list(resolver.found) == ["add"]


def test_class_methods_are_bound(packages: Path) -> None:
    resolver = Resolver("rpcmethods")
    assert resolver.resolve("Thing.klass").function(1) == ["Thing", 1]
    assert resolver.resolve("Thing.inherited").function() == "Thing"
    assert resolver.resolve("decorated").function(1) == ["decorated", 1]


@pytest.mark.parametrize("module", ["broken", "needs_missing", "exits"])
def test_module_that_does_not_import(packages: Path, module: str) -> None:
    with pytest.raises(Error, match=f"Module rpcmethods.{module} fails to import") as caught:
        Resolver("rpcmethods").resolve(f"{module}.anything")
    assert caught.value.code == -32603


def test_a_module_that_poses_as_another(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rpcmethods.posing", sys)
    with pytest.raises(MethodNotFoundError):
        Resolver("rpcmethods").resolve("posing.exit")


PIECES = st.sampled_from(
    sorted({piece for name in GOOD + BAD for piece in name.split(".")} | set(dir(object)) | {"sys"})
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
@given(st.lists(PIECES | st.text(max_size=5), max_size=5).map(".".join))
def test_whatever_is_found_is_defined_in_the_package(packages: Path, name: str) -> None:
    try:
        method = Resolver("rpcmethods").resolve(name)
    except Error:
        return
    function = inspect.unwrap(getattr(method.function, "__func__", method.function))
    assert isinstance(function, FunctionType)
    assert function.__module__.split(".")[0] == "rpcmethods"
    assert function.__code__.co_filename.startswith(str(packages))
    assert not any(part.startswith("_") for part in name.split("."))
    assert not function.__name__.startswith("_")


def f0() -> None: ...
def f1(a: Any) -> None: ...
def f2(a: Any, b: Any = 0) -> None: ...
def f3(*args: Any) -> None: ...
def f4(a: Any, *args: Any, k: Any = 0) -> None: ...
def f5(*, k: Any) -> None: ...
def f6(a: Any, /, b: Any, **kwargs: Any) -> None: ...
def f7(a: Any, *, k: Any, j: Any = 0) -> None: ...


@given(
    st.sampled_from([f0, f1, f2, f3, f4, f5, f6, f7]),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "k", "j", "x"]), st.integers()),
)
def test_arguments_are_judged_as_by_the_call_itself(
    function: Callable[..., None], args: list[int], kwargs: dict[str, int]
) -> None:
    method = Method("f", function)

    def works(args: list[int], kwargs: dict[str, int]) -> bool:
        with contextlib.suppress(TypeError):
            function(*args, **kwargs)
            return True
        return False

    def passes(args: list[int], kwargs: dict[str, int]) -> bool:
        with contextlib.suppress(InvalidParamsError):
            method.check(args, kwargs)
            return True
        return False

    assert passes(args, kwargs) == works(args, kwargs)
    assert passes([], kwargs) == works([], kwargs)
    assert method.accepts(len(args)) == works(args, {})
