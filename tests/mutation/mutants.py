"""Mutants of a module: its code with one small error in it, each made once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.Pow: ast.Mult,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "floor": "ceil", "round": "float"}

#: Where no mutant is made: what types and people read, and what a failure says.
_UNTOUCHED = ("annotation", "returns", "decorator_list", "bases")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    """One error: where it is, what it is, and the source of the module with it.

    ``function`` is the qualified name of the outermost function that holds it, empty for what a module or a class says
    by itself; ``number`` tells it from the others of its module.
    """

    path: Path
    number: int
    line: int
    function: str
    what: str
    code: CodeType


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of one module, in the order of its lines."""
    tree = ast.parse(path.read_text())
    number = 0
    for node, function, line in _sites(tree, ""):
        for what, change, undo in _errors(node):
            before = ast.unparse(node)
            change()
            after = ast.unparse(node)
            code = compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)
            undo()
            number += 1
            yield Mutant(path, number, line, function, f"{what}: {_short(before)} -> {_short(after)}", code)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 110 else f"{line[:107]}..."


def _sites(node: ast.AST, function: str, names: str = "", line: int = 1) -> Iterator[tuple[ast.AST, str, int]]:
    """Every node that may be changed, with the outermost function around it and its line."""
    for field, value in ast.iter_fields(node):
        if field in _UNTOUCHED or (field == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            here = getattr(child, "lineno", line)
            if isinstance(child, ast.Raise):
                yield child, function, here
            elif isinstance(child, Function | ast.ClassDef):
                name = f"{names}{child.name}"
                is_function = isinstance(child, Function)
                yield from _sites(child, function or (name if is_function else ""), f"{name}.", here)
            elif function or not isinstance(child, ast.Constant) or isinstance(child.value, int | float):
                yield child, function, here
                yield from _sites(child, function, names, here)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If | ast.Assign) and any(
        word in ast.unparse(node) for word in ("TYPE_CHECKING", "TypeVar(")
    ):
        return True
    return isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert)


Error = tuple[str, Callable[[], object], Callable[[], object]]


def _errors(node: ast.AST) -> Iterator[Error]:
    """What may be wrong with a node: what it is, and how to put it in and take it out again."""
    for kinds, errors in _ERRORS:
        if isinstance(node, kinds):
            yield from errors(node)
            return


def _compared(node: Any) -> Iterator[Error]:
    for place, operator in enumerate(node.ops):
        if other := _COMPARED.get(type(operator)):
            yield _item("compare", node.ops, place, other())


def _computed(node: Any) -> Iterator[Error]:
    if other := _COMPUTED.get(type(node.op)):
        yield _field("compute", node, "op", other())


def _joined(node: Any) -> Iterator[Error]:
    yield _field("and/or", node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _signed(node: Any) -> Iterator[Error]:
    if isinstance(node.op, ast.USub):
        yield _field("sign", node, "op", ast.UAdd())
    elif isinstance(node.op, ast.Not):
        yield _field("not", node, "operand", ast.UnaryOp(ast.Not(), node.operand))


def _decided(node: Any) -> Iterator[Error]:
    yield _field("condition", node, "test", ast.UnaryOp(ast.Not(), node.test))


def _filtered(node: Any) -> Iterator[Error]:
    for place, test in enumerate(node.ifs):
        yield _item("condition", node.ifs, place, ast.UnaryOp(ast.Not(), test))


def _constant(node: Any) -> Iterator[Error]:
    if (changed := _other_constant(node.value)) is not None:
        yield _field("constant", node, "value", changed)


def _called(node: Any) -> Iterator[Error]:
    for kind, name in ((ast.Name, "id"), (ast.Attribute, "attr")):
        if isinstance(node.func, kind) and (other := _CALLED.get(getattr(node.func, name))):
            yield _field("call", node.func, name, other)
    for place, keyword in enumerate(node.keywords):
        if keyword.arg in ("key", "default"):
            yield _without("argument", node.keywords, place)


def _returned(node: Any) -> Iterator[Error]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield _field("return", node, "value", ast.Constant(None))


def _sliced(node: Any) -> Iterator[Error]:
    for bound in ("lower", "upper"):
        if getattr(node, bound) is not None:
            yield _field("slice", node, bound, None)


def _done(node: Any) -> Iterator[Error]:
    if isinstance(node.value, ast.Call):
        yield _field("no call", node, "value", ast.Constant(None))


def _assigned(node: Any) -> Iterator[Error]:
    if not isinstance(node.value, ast.Constant):
        yield _field("assign", node, "value", ast.Constant(None))


def _left(node: Any) -> Iterator[Error]:
    before, kept = type(node), dict(vars(node))
    other = {ast.Continue: ast.Break, ast.Break: ast.Continue, ast.Raise: ast.Pass}[before]

    def change() -> None:
        node.__class__ = other

    def undo() -> None:
        node.__class__ = before
        vars(node).update(kept)

    yield other.__name__.lower(), change, undo


_ERRORS: tuple[tuple[Any, Callable[[Any], Iterator[Error]]], ...] = (
    (ast.Compare, _compared),
    (ast.BinOp | ast.AugAssign, _computed),
    (ast.BoolOp, _joined),
    (ast.UnaryOp, _signed),
    (ast.If | ast.While | ast.IfExp, _decided),
    (ast.comprehension, _filtered),
    (ast.Constant, _constant),
    (ast.Call, _called),
    (ast.Return, _returned),
    (ast.Slice, _sliced),
    (ast.Expr, _done),
    (ast.Assign, _assigned),
    (ast.Continue | ast.Break | ast.Raise, _left),
)


def _other_constant(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.1 if value else 0.1
        case str():
            return f"XX{value}"
        case bytes():
            return b"XX" + value
    return None


def _field(what: str, node: ast.AST, name: str, new: object) -> Error:
    before = getattr(node, name)
    return what, lambda: setattr(node, name, new), lambda: setattr(node, name, before)


def _item(what: str, items: list[Any], place: int, new: Any) -> Error:
    before = items[place]
    return what, lambda: items.__setitem__(place, new), lambda: items.__setitem__(place, before)


def _without(what: str, items: list[Any], place: int) -> Error:
    before = items[place]
    return what, lambda: items.pop(place), lambda: items.insert(place, before)
