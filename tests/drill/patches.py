"""Taking one guard out of the running code, and nothing else.

A patch is (dotted target, replacement). Most replace the code of a function in place, so that whoever imported the
function before is without the guard too. `without` cuts an `if` out of the source; `rewritten` changes a few words of
it; `answering` lets a plain function answer instead.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType

import pytest

Patch = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Made:
    """A replacement that is made when it is put in place."""

    make: Callable[[], object]


def without(dotted: str, *needles: str) -> Patch:
    """The function without every `if` whose test, or whose one statement, has one of these words. Each must occur."""

    def make() -> CodeType:
        tree = ast.parse(_source(dotted))
        cutter = _Cutter(needles)
        cutter.visit(tree)
        assert cutter.cut == set(needles), f"{dotted} has no such check: {set(needles) - cutter.cut}"
        return _compiled(dotted, ast.fix_missing_locations(tree))

    return _code_of(dotted), Made(make)


def rewritten(dotted: str, old: str, new: str) -> Patch:
    """The function with these words changed wherever they occur."""

    def make() -> CodeType:
        source = _source(dotted)
        assert old in source, f"{dotted} does not say: {old}"
        return _compiled(dotted, ast.parse(source.replace(old, new)))

    return _code_of(dotted), Made(make)


def answering(dotted: str, answer: Callable[..., object]) -> Patch:
    """The function with the body of this one, which may use the names of the function's own module alone."""
    assert isinstance(answer, FunctionType)
    return _code_of(dotted), answer.__code__


def apply(monkeypatch: pytest.MonkeyPatch, patches: Sequence[Patch]) -> None:
    """Put patches in place until the end of the test."""
    for target, replacement in patches:
        monkeypatch.setattr(target, replacement.make() if isinstance(replacement, Made) else replacement)


class _Cutter(ast.NodeTransformer):
    def __init__(self, needles: Sequence[str]) -> None:
        self._needles = needles
        self.cut: set[str] = set()

    def visit_If(self, node: ast.If) -> ast.AST:
        shown = ast.unparse(node.test) + (ast.unparse(node.body[0]) if len(node.body) == 1 else "")
        found = {needle for needle in self._needles if needle in shown}
        self.cut |= found
        if found and not node.orelse:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _code_of(dotted: str) -> str:
    return f"{dotted}.__code__"


def _function(dotted: str) -> FunctionType:
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = inspect.getattr_static(found, name)
        function = found.fget if isinstance(found, property) else found
        assert isinstance(function, FunctionType), f"{dotted} is no plain function"
        return function
    raise AssertionError(f"there is no {dotted}")


def _source(dotted: str) -> str:
    """The function's words, found by its name: line numbers shift when a file is edited while tests run."""
    function = _function(dotted)
    text = Path(function.__code__.co_filename).read_text()
    found: ast.AST = ast.parse(text)
    for name in function.__qualname__.split("."):
        found = next(node for node in ast.iter_child_nodes(found) if getattr(node, "name", None) == name)
    return textwrap.dedent(ast.get_source_segment(text, found, padded=True) or "")


def _compiled(dotted: str, tree: ast.Module) -> CodeType:
    definition = next(node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    definition.decorator_list = []
    names: dict[str, object] = {}
    exec(compile(tree, f"<{dotted} without its guard>", "exec"), dict(_function(dotted).__globals__), names)
    made = names[definition.name]
    assert isinstance(made, FunctionType)
    return made.__code__
