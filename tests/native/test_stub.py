"""What `_native.pyi` promises is what the module has: every class, member and parameter."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

from beltline import _native

STUB = ast.parse((Path(_native.__file__).parent / "_native.pyi").read_text())


def promised(body: list[ast.stmt]) -> dict[str, ast.FunctionDef | None]:
    """Return public members by name, with their functions; properties and attributes have none."""
    found: dict[str, ast.FunctionDef | None] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
            is_plain = not node.decorator_list or "overload" in ast.unparse(node.decorator_list[0])
            found[node.name] = node if is_plain else None
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = None
    return found


def parameters(function: ast.FunctionDef) -> set[str]:
    """Return the names of a function's parameters."""
    given = function.args
    named = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    return named - {"self", "cls"}


def real_parameters(function: Any) -> set[str]:
    """Return the names of a native function's parameters; those of `*arguments` do not count."""
    kept = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return {one.name for one in found if one.kind not in kept} - {"self"}


def test_the_stub_and_the_module_have_the_same_members() -> None:
    wrong, seen = [], 0
    for node in STUB.body:
        if not isinstance(node, ast.ClassDef):
            continue
        real = getattr(_native, node.name)
        members = promised(node.body)
        public = {name for name in dir(real) if not name.startswith("_")}
        wrong += [f"{node.name}.{name} is missing" for name in members.keys() - public]
        wrong += [f"{node.name}.{name} is not in the stub" for name in public - members.keys()]
        for name, function in members.items():
            if function is None or name not in public or function.args.vararg or name in ("pop", "update"):
                continue
            seen += 1
            expected, found = parameters(function), real_parameters(getattr(real, name))
            if expected != found:
                wrong.append(f"{node.name}.{name} takes {sorted(found)}, the stub says {sorted(expected)}")
    assert seen > 40, "the test has seen too little to mean anything"
    assert not wrong, "\n".join(wrong)


def test_every_class_and_function_of_the_module_is_in_the_stub() -> None:
    names = {node.name for node in STUB.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    real = {name for name in dir(_native) if not name.startswith("_")}
    assert names == real
