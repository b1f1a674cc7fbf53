"""`_native.pyi` is what `make stub` makes of the module, and what it is made of cannot contradict the module."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from beltline import _native

SOURCE = Path(__file__).resolve().parents[2] / "tools" / "native_stub.py"
SPECIFICATION = importlib.util.spec_from_file_location("native_stub", SOURCE)
assert SPECIFICATION is not None
assert SPECIFICATION.loader is not None
native_stub = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(native_stub)


def documented(function: Callable[..., Any], documentation: str) -> Callable[..., Any]:
    """Return the function with a doc comment as PyO3 hands it on."""
    function.__doc__ = documentation
    return function


def test_the_stub_is_what_the_module_says() -> None:
    stub = native_stub.STUB.read_text()
    functions = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 40, "the test has seen too little to mean anything"
    assert stub == native_stub.generate(_native), "the stub is out of date: run `make stub`"


def test_the_stub_has_every_class_and_function_of_the_module() -> None:
    tree = ast.parse(native_stub.STUB.read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert names == {name for name in dir(_native) if not name.startswith("_")}


@pytest.mark.parametrize("class_", [_native.Belt, _native.Stream, _native.Table], ids=lambda class_: class_.__name__)
def test_help_shows_the_text_and_the_types_of_the_stub(class_: type) -> None:
    assert "Args:\n" in (class_.__doc__ or "")
    assert "\n    __new__(" in (class_.__doc__ or "")
    assert list(inspect.signature(class_).parameters), "the parameters of the constructor are lost"


def test_mypy_finds_the_stub_true(tmp_path: Path) -> None:
    aliases = [node for node in ast.parse(native_stub.HEADER).body if isinstance(node, ast.Assign)]
    only_in_stubs = [f"beltline._native.{ast.unparse(node.targets[0])}" for node in aliases]
    allowed = tmp_path / "allowed"
    allowed.write_text(
        "\n".join([*[name for name in only_in_stubs if "._native._" not in name], "beltline._native.__all__"])
    )
    command = [sys.executable, "-m", "mypy.stubtest", "beltline._native", "--allowlist", str(allowed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_function_gets_its_text_its_types_and_its_overloads() -> None:
    def get(key, default=None):  # type: ignore[no-untyped-def]
        ...

    text = "Reads.\n\nRaises:\n    KeyError: No key.\n\n"
    text += "Signature:\n    (key: int) -> str\n    (key: int,\n        default: _T) -> str | _T"
    first, second = native_stub.describe_function("get", documented(get, text), "get")
    assert (
        first
        == '@overload\ndef get(key: int) -> str:\n    """Reads.\n\n    Raises:\n        KeyError: No key.\n    """'
    )
    assert second == "@overload\ndef get(key: int, default: _T) -> str | _T: ..."


def test_a_class_gets_its_static_methods() -> None:
    class Endpoint:
        """Where somebody listens."""

        find = staticmethod(documented(lambda directory: directory, "Signature: (directory: str) -> str | None"))

    (stub,) = native_stub.describe_class(Endpoint)
    assert "@staticmethod\n    def find(directory: str) -> str | None: ..." in stub


@pytest.mark.parametrize(
    ("documentation", "complaint"),
    [
        ("Sends.", 'no "Signature:"'),
        ("Signature: (topic: str, *, partition: int = 0)", "nothing is returned"),
        ("Signature: (topic: str, *, partition: int = 0 -> int", "a bracket is open"),
        ("Signature: (topic: str, * partition: int = 0) -> int", "is no signature"),
        ("Signature: (topic, *, partition: int = 0) -> int", "topic has no type"),
        ("Signature: (name: str, *, partition: int = 0) -> int", "its documentation says"),
        ("Signature: (topic: str, partition: int = 0) -> int", "its documentation says"),
        ("Signature: (topic: str, *, partition: int = 1) -> int", "its documentation says"),
        ("Signature: (topic: str, *, partition: bool = False) -> int", "its documentation says"),
        ("Signature: (topic: str, *, partition: int) -> int", "its documentation says"),
        ("Signature: (topic: str) -> int", "its documentation says"),
        ("Signature:\n    (topic: str) -> int\n    (topic: str, *, shard: int) -> int", "shard"),
        ("Signature:\n    (topic: str) -> int\n    (topic: bytes) -> int", "which no signature"),
    ],
)
def test_documentation_that_contradicts_the_module_makes_no_stub(documentation: str, complaint: str) -> None:
    def send(topic, *, partition=0):  # type: ignore[no-untyped-def]
        ...

    with pytest.raises(native_stub.StubError, match=complaint):
        list(native_stub.describe_function("send", documented(send, documentation), "send"))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    def fail(what: str) -> list[str]:
        raise native_stub.StubError(what)

    with pytest.raises(native_stub.StubError, match=r"Belt\.send\nBelt\.open"):
        native_stub.collected([lambda: fail("Belt.send"), lambda: ["fine"], lambda: fail("Belt.open")])


def test_a_member_that_documentation_has_and_the_class_has_not_makes_no_stub() -> None:
    with pytest.raises(native_stub.StubError, match="no __missing__ of its own"):
        list(native_stub.describe_operators(_native.Queue, {}, ["__missing__(key: int) -> int"], "Queue"))


def test_an_operator_that_takes_another_number_of_arguments_makes_no_stub() -> None:
    real = {"__getitem__": dict.__dict__["__setitem__"]}
    with pytest.raises(native_stub.StubError, match="takes 2 arguments"):
        list(native_stub.describe_operators(dict, real, ["__getitem__(key: int) -> int"], "dict"))
