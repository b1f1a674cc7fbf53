"""Which tables a function writes to, as far as its code shows it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from beltline._native import Table

__all__ = ["regroups", "tables_of"]

#: Functions that are looked into beside the first one; who calls more than these is taken for unknown.
MOST_FUNCTIONS: Final = 200

#: By these names a stream is given other keys, so that its own topic has nothing to do with tables.
REGROUPING: Final = frozenset({"group_by", "through"})

#: By this name tables are found that no variable names.
TABLES_BY_NAME: Final = "tables"


def tables_of(fun: Callable[..., Any]) -> list[str] | None:
    """Return the names of the tables that a function, or one that it calls, refers to; None when that cannot be told.

    Looked at are the variables that the code names: global ones, those of functions around it, attributes of the
    objects that these are, and of a method's object. A table that is found in another way is missed.

    Example:
        >>> import beltline
        >>> app = beltline.App("shop", broker="memory://")
        >>> counts = app.Table("counts", default=int)
        >>> tables_of(lambda word: counts[word])
        ['counts']
    """
    first = plain_function(fun)
    package = "" if first is None else package_of(first)
    found: dict[str, None] = {}
    seen: set[Any] = set()
    waiting: list[Any] = [fun]
    while waiting:
        one = waiting.pop()
        plain, owner = plain_function(one), owner_of(one)
        if plain is None or (plain, id(owner)) in seen:
            continue
        seen.add((plain, id(owner)))
        if len(seen) > MOST_FUNCTIONS:
            return None
        for name, value in variables_of(plain, owner):
            if isinstance(value, Table):
                found[value.name] = None
            elif name == TABLES_BY_NAME:
                return None
            elif isinstance(value, FunctionType | MethodType | functools.partial) and is_own(value, package):
                waiting.append(value)
    return list(found)


def regroups(fun: Callable[..., Any]) -> bool:
    """Whether a function gives the events of its stream other keys before it works on them."""
    plain = plain_function(fun)
    return plain is not None and bool(REGROUPING & names_in(plain.__code__))


def plain_function(fun: Any) -> FunctionType | None:
    """Return the function in Python that is behind a method, a partial, or an object that can be called."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    if isinstance(fun, MethodType):
        fun = fun.__func__
    if not isinstance(fun, FunctionType):
        fun = inspect.getattr_static(type(fun), "__call__", None)
    found = inspect.unwrap(fun) if isinstance(fun, FunctionType) else None
    return found if isinstance(found, FunctionType) else None


def owner_of(fun: Any) -> Any:
    """Return the object whose method is called; None for a function."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    return fun.__self__ if isinstance(fun, MethodType) else None if isinstance(fun, FunctionType) else fun


def package_of(fun: FunctionType) -> str:
    """Return the outermost package that a function is in."""
    return (fun.__module__ or "").partition(".")[0]


def is_own(value: Any, package: str) -> bool:
    """Whether a function is the program's, and not that of a library."""
    plain = plain_function(value)
    if plain is None:
        return False
    own = package_of(plain)
    if own == package:
        return True
    installed = "site-packages" in str(plain.__globals__.get("__file__", ""))
    return own != "beltline" and own not in sys.stdlib_module_names and not installed


def names_in(code: CodeType) -> set[str]:
    """Return the names of global variables and attributes in a function and in those that are defined in it."""
    inner = (names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def variables_of(fun: FunctionType, owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield by name what a function's code refers to, and the attributes of that which it names."""
    names = names_in(fun.__code__)
    reached = {name: fun.__globals__[name] for name in names if name in fun.__globals__}
    for name, cell in zip(fun.__code__.co_freevars, fun.__closure__ or (), strict=True):
        # A variable that has no value yet raises.
        with contextlib.suppress(ValueError):
            reached[name] = cell.cell_contents
    yield from reached.items()
    for value in [owner, *reached.values()]:
        if value is None or isinstance(value, Table):
            continue
        for name in names:
            held = inspect.getattr_static(value, name, None)
            is_method = isinstance(held, FunctionType) and not isinstance(value, ModuleType | type)
            if held is not None:
                yield name, MethodType(held, value) if is_method else held
