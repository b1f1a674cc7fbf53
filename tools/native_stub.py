"""Writes `python/beltline/_native.pyi` from the built extension module: the Rust source is its only source.

Names, parameters and defaults come from the module itself. Documentation comes from the Rust doc comments, which PyO3
hands on as `__doc__`, so `help()` and the stub say the same. Types are in there too, at the end of a comment::

    /// Whether the queue is full.
    ///
    /// Signature: (margin: int = 0) -> bool

Methods and functions have one signature without ``self``, or several, one per line, which become overloads. The second
one of a property is its setter. Python hands no comment of an operator on, so a class lists its constructor, its
operators and its type parameters by name::

    /// Signature:
    ///     class Box(Generic[_T])
    ///     __new__(size: int) -> Box[Any]
    ///     __getitem__(key: int) -> _T

A signature is checked against the module: it has the same parameters of the same kinds with the same defaults, and
nothing public is without one.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STUB = ROOT / "python" / "beltline" / "_native.pyi"

#: What the signatures refer to.
HEADER = '''
from collections.abc import Awaitable, Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, Generic, Literal, TypeVar, final, overload

_T = TypeVar("_T")
_KT = TypeVar("_KT")
_VT = TypeVar("_VT")

__version__: Final[str]

StreamMode = Literal["values", "items", "events"]
DecodeKind = Literal["bytes", "str", "none"]
ValueKind = Literal["json", "int", "float", "str", "object"]
Guarantee = Literal["at_least_once", "exactly_once"]
StartFrom = Literal["earliest", "latest"]
Headers = Sequence[tuple[str, bytes | None]] | Mapping[str, bytes | None]
DeliveryCallback = Callable[[str, int, int, int], object]
"""Called as ``(topic, partition, offset, timestamp_ms)`` once the record is in the log."""
'''

#: Operators that need no signature: `object` has them with the same types, or CPython makes them of others.
UNTYPED = {"__repr__", "__init__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__", "__ne__"}
#: `a |= b` keeps the type of `a`, while `a | b` makes something else; mypy wants both to be alike.
IN_PLACE = {"__ior__": "  # type: ignore[misc]"}
#: The flag of types that Python code may inherit from.
INHERITABLE = 1 << 10

SECTION = re.compile(r"^Signature:", re.MULTILINE)
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class StubError(Exception):
    """Documentation and module contradict each other; says where."""


def split_documentation(documentation: str | None, where: str, *, needed: bool = True) -> tuple[str, list[str]]:
    """Return the text and the signatures of a doc comment, each in one line."""
    text, *sections = SECTION.split(inspect.cleandoc(documentation or ""))
    if needed and not sections:
        raise StubError(f'{where}: its Rust doc comment has no "Signature:"')
    signatures, unfinished = [], ""
    for line in "\n".join(sections).splitlines():
        unfinished = f"{unfinished} {line.strip()}".strip()
        balanced = all(unfinished.count(a) == unfinished.count(b) for a, b in ("()", "[]", "{}"))
        # The type that is returned may stand in a line of its own.
        if balanced and (" -> " in unfinished or unfinished.startswith("class ")):
            signatures.append(unfinished)
            unfinished = ""
    if unfinished:
        raise StubError(f"{where}: a bracket is open, or nothing is returned as in (key: bytes) -> int: {unfinished!r}")
    if "\\" in text or '"""' in text or text.rstrip().endswith('"'):
        raise StubError(f"{where}: a docstring cannot hold this as it stands: {text!r}")
    return text.strip(), signatures


def parsed(head: str, where: str) -> ast.FunctionDef:
    """Return the function whose header this is."""
    try:
        (function,) = ast.parse(f"{head}: ...").body
    except SyntaxError as error:
        raise StubError(f"{where}: {head!r} is no signature: {error.msg}") from error
    if not isinstance(function, ast.FunctionDef):
        raise StubError(f"{where}: {head!r} is no signature")
    return function


def declared_signature(function: ast.FunctionDef, where: str) -> inspect.Signature:
    """Return the parameters that a header declares; every one must have a type."""
    given, kinds = function.args, inspect.Parameter
    found: list[inspect.Parameter] = []

    def add(argument: ast.arg, kind: Any, default: ast.expr | None = None) -> None:
        if argument.annotation is None:
            raise StubError(f"{where}: parameter {argument.arg} has no type")
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        found.append(inspect.Parameter(argument.arg, kind, default=value))

    positional = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        kind = kinds.POSITIONAL_ONLY if index < len(given.posonlyargs) else kinds.POSITIONAL_OR_KEYWORD
        add(argument, kind, default)
    if given.vararg:
        add(given.vararg, kinds.VAR_POSITIONAL)
    for argument, keyword_default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        add(argument, kinds.KEYWORD_ONLY, keyword_default)
    if given.kwarg:
        add(given.kwarg, kinds.VAR_KEYWORD)
    return inspect.Signature(found)


def real_signature(function: Any, *, bound: bool) -> inspect.Signature:
    """Return the parameters that the module takes, without ``self``."""
    found = list(inspect.signature(function).parameters.values())
    return inspect.Signature(found[1:] if bound else found)


def differ(one: inspect.Parameter, other: inspect.Parameter) -> bool:
    """Return whether two parameters differ; PyO3 writes ``...`` for defaults that Python has no literal for."""
    if one.kind in VARIADIC and one.kind == other.kind:
        return False
    same_default = one.default is ... or (type(one.default), one.default) == (type(other.default), other.default)
    return (one.name, one.kind) != (other.name, other.kind) or not same_default


def check_parameters(real: inspect.Signature, declared: list[inspect.Signature], where: str) -> None:
    """Raise when the module takes other parameters than its documentation declares."""
    expected = list(real.parameters.values())
    if len(declared) == 1:
        given = list(declared[0].parameters.values())
        if len(expected) != len(given) or any(map(differ, expected, given)):
            raise StubError(f"{where} takes {real}, its documentation says {declared[0]}")
        return
    # An overload may leave optional parameters out; together they have them all.
    for overload in declared:
        parameters = overload.parameters.values()
        names = {one.name: None for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
        try:
            real.bind(*[None for one in parameters if one.name not in names and one.kind not in VARIADIC], **names)
        except TypeError as error:
            raise StubError(f"{where} takes {real}, its documentation says {overload}: {error}") from error
    missing = {one.name for one in expected} - {name for overload in declared for name in overload.parameters}
    if missing:
        raise StubError(f"{where} takes {sorted(missing)}, which no signature of its documentation has")


def indented(lines: list[str]) -> list[str]:
    """Return the lines, four columns further right."""
    return [f"    {line}" if line else "" for line in lines]


def docstring(text: str) -> list[str]:
    """Return the lines of a docstring."""
    if not text:
        return []
    lines = text.splitlines()
    return [f'"""{lines[0]}"""'] if len(lines) == 1 else [f'"""{lines[0]}', *lines[1:], '"""']


def definition(name: str, signature: str, text: str = "", *, first: str = "", decorators: tuple[str, ...] = ()) -> str:
    """Return a function of a stub; `first` is the parameter before those of the signature."""
    separator = ", " if first and not signature.startswith("()") else ""
    head = f"def {name}({first}{separator}{signature[1:]}:"
    body = docstring(text)
    lines = [*[f"@{one}" for one in decorators], *([head, *indented(body)] if body else [f"{head} ..."])]
    lines[-1] += IN_PLACE.get(name, "")
    return "\n".join(lines)


def describe_function(name: str, function: Any, where: str, *, first: str = "", decorator: str = "") -> Iterator[str]:
    """Yield a function, or its overloads; only the first one has the documentation."""
    text, signatures = split_documentation(function.__doc__, where)
    headers = [parsed(f"def {name}{signature}", where) for signature in signatures]
    declared = [declared_signature(header, where) for header in headers]
    check_parameters(real_signature(function, bound=first == "self"), declared, where)
    decorators = (*["overload"] * (len(signatures) > 1), *[decorator] * bool(decorator))
    for signature in signatures:
        yield definition(name, signature, text, first=first, decorators=decorators)
        text = ""


def describe_property(name: str, member: Any, where: str) -> Iterator[str]:
    """Yield the getter of a property, and its setter."""
    text, signatures = split_documentation(member.__doc__, where)
    counts = [len(declared_signature(parsed(f"def {name}{one}", where), where).parameters) for one in signatures]
    if counts not in ([0], [0, 1]):
        raise StubError(f"{where}: a property has the signature () -> type, and with a setter (value: type) -> None")
    yield definition(name, signatures[0], text, first="self", decorators=("property",))
    for setter in signatures[1:]:
        yield definition(name, setter, first="self", decorators=(f"{name}.setter",))


def describe_operators(
    class_: type, real: dict[str, Any], signatures: list[str], where: str
) -> Iterator[tuple[str, str]]:
    """Yield the constructor and the operators that a class lists, by name."""
    for signature in signatures:
        name, parameters = signature[: signature.index("(")], signature[signature.index("(") :]
        if name not in real:
            raise StubError(f"{where} has no {name} of its own, its documentation says {signature}")
        declared = declared_signature(parsed(f"def {name}{parameters}", where), where)
        if name == "__new__":
            check_parameters(inspect.signature(class_), [declared], where)
        else:
            # CPython names the parameters of operators itself, and of calls it names none.
            taken = inspect.signature(real[name]).parameters.values()
            if not any(one.kind in VARIADIC for one in taken) and len(taken) - 1 != len(declared.parameters):
                raise StubError(f"{where}.{name} takes {len(taken) - 1} arguments, its documentation says {signature}")
            # In `a[key]` there is no place to write a name.
            if declared.parameters and name != "__call__":
                taken_by_place, _, returned = parameters.rpartition(") ->")
                parameters = f"{taken_by_place}, /) ->{returned}"
        yield name, definition(name, parameters, first="cls" if name == "__new__" else "self")


def collected(makers: Iterable[Callable[[], Iterable[str]]]) -> list[str]:
    """Return what all of them make, or raise everything that is wrong with them at once."""
    made: list[str] = []
    wrong: list[str] = []
    for maker in makers:
        try:
            made += maker()
        except StubError as error:
            wrong.append(str(error))
    if wrong:
        raise StubError("\n".join(wrong))
    return made


def describe_class(class_: type) -> Iterator[str]:
    """Yield a class."""
    where = class_.__name__
    # A type made by hand stands on the one PyO3 makes; in Python the two are one.
    own = [base for base in class_.__mro__ if base is not object]
    real = {name: member for base in reversed(own) for name, member in vars(base).items()}
    text, signatures = split_documentation(class_.__doc__, where, needed=False)
    heads = [one for one in signatures if one.startswith("class ")]
    if heads and not heads[0].startswith(f"class {where}("):
        raise StubError(f"{where} is called otherwise in its documentation: {heads[0]}")
    operators = dict(describe_operators(class_, real, [one for one in signatures if one not in heads], where))
    hand_written = (BuiltinFunctionType, type(object.__init__))
    needed = {name for name, member in real.items() if name.startswith("__") and isinstance(member, hand_written)}
    if missing := needed - operators.keys() - UNTYPED:
        raise StubError(f"{where}: its Rust doc comment has no signature of {', '.join(sorted(missing))}")

    properties, methods = {}, []
    for name, member in real.items():
        if name.startswith("_"):
            continue
        if inspect.isgetsetdescriptor(member) or inspect.ismemberdescriptor(member):
            properties[name] = partial(describe_property, name, member, f"{where}.{name}")
        elif isinstance(member, staticmethod):
            function = member.__func__
            methods.append(partial(describe_function, name, function, f"{where}.{name}", decorator="staticmethod"))
        elif inspect.ismethoddescriptor(member):
            methods.append(partial(describe_function, name, member, f"{where}.{name}", first="self"))
        else:
            raise StubError(f"{where}.{name}: there is no way to write down a {type(member).__name__}")
    constructor = [operators.pop("__new__")] if "__new__" in operators else []
    # PyO3 has properties in no order, methods in that of the source.
    in_order = [properties[name] for name in sorted(properties)]
    body = [*constructor, *collected(in_order), *operators.values(), *collected(methods)]
    final = [] if class_.__flags__ & INHERITABLE else ["@final"]
    lines = [line for part in body for line in [*part.splitlines(), ""]]
    head = heads[0] if heads else f"class {where}"
    yield "\n".join([*final, f"{head}:", *indented([*docstring(text), "", *lines])])


def formatted(source: str) -> str:
    """Return the source as the formatter has it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(STUB), "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise StubError(f"the formatter refuses what was made: {done.stderr}")
    return done.stdout


def generate(module: ModuleType) -> str:
    """Return the stub of a module, formatted."""
    makers: list[Callable[[], Iterable[str]]] = []
    for name, member in vars(module).items():
        if name.startswith("_"):
            continue
        if inspect.isclass(member):
            makers.append(partial(describe_class, member))
        elif inspect.isbuiltin(member):
            makers.append(partial(describe_function, name, member, name))
        else:
            raise StubError(f"{name}: there is no way to write down a {type(member).__name__}")
    head = "\n".join(docstring(inspect.cleandoc(module.__doc__ or "")))
    return formatted("\n\n".join([head, HEADER, *collected(makers)]))


def main() -> None:
    """Write the stub, or say what is wrong with the documentation."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    from beltline import _native

    try:
        STUB.write_text(generate(_native))
    except StubError as error:
        sys.exit(f"no stub, because of the doc comments in crates/beltline-python/src:\n{error}")


if __name__ == "__main__":
    main()
