"""Small changes of a source file, each of which somebody should notice.

Each *mutant* is a file with one small change, made by an operator of Cosmic Ray or by one of two of
our own: leave a statement out, and swap two neighbours that both call something. (Where the order
of accesses is what matters, these say more than any change of a `+`.)

A change that the compiler makes the same program of is none (Papadakis and others, "Trivial
Compiler Equivalence", ICSE 2015), and neither is one of an abstract method, which only declares.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import importlib
import itertools
import pickle
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from types import CodeType
from typing import Any, Final

import attrs

__all__ = ["Mutant", "mutants"]

# One replacement for each operator. The others that Cosmic Ray has (`+` becomes `**`, `is` becomes
# `<`) mostly raise at once, and add to the count rather than to what is known. Left out are also
# annotations, which are not evaluated here, what a class tells attrs of how it may be used, and the
# operators that need names as arguments.
OPERATORS: Final = tuple(
    f"core/{name}"
    for name in (
        *(
            f"ReplaceBinaryOperator_{change}"
            for change in (
                "Add_Sub",
                "Sub_Add",
                "Mul_Add",
                "Div_Mul",
                "FloorDiv_Mul",
                "Mod_Mul",
                "LShift_RShift",
                "RShift_LShift",
                "BitAnd_BitOr",
                "BitOr_BitAnd",
                "BitXor_BitOr",
            )
        ),
        *(
            f"ReplaceComparisonOperator_{change}"
            for change in (
                "Eq_NotEq",
                "NotEq_Eq",
                "Lt_LtE",
                "Lt_GtE",
                "LtE_Lt",
                "LtE_Gt",
                "Gt_GtE",
                "Gt_LtE",
                "GtE_Gt",
                "GtE_Lt",
                "Is_IsNot",
                "IsNot_Is",
            )
        ),
        "ReplaceUnaryOperator_Delete_USub",
        "ReplaceUnaryOperator_Delete_Not",
        "ReplaceUnaryOperator_Delete_Invert",
        "AddNot",
        "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue",
        "ReplaceAndWithOr",
        "ReplaceOrWithAnd",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ExceptionReplacer",
        "NumberReplacer",
        "RemoveDecorator",
        "ZeroIterationForLoop",
    )
)
ABSTRACT: Final = "@abc.abstractmethod"
WITHOUT_EFFECT: Final = ("@final", "@overload", ABSTRACT)
"""Decorators that do nothing when the program runs."""
DECLARED: Final = frozenset({"init", "eq", "kw_only", "repr"})
"""Options of attrs by which a class says how it may be used."""


@attrs.frozen
class Mutant:
    """A file with one small change.

    Attributes:
        file: Path below the project.
        line: Where the change begins.
        within: The function that it is made in, with its classes; empty outside of all.
        old, new: The changed lines before and after, as one line each.
        source: The whole file after the change.
    """

    file: str
    line: int
    within: str
    old: str
    new: str
    source: str = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by when lines above it come and go."""
        return self.file, self.within, self.old, self.new

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old}  ->  {self.new or '(left out)'}"


@attrs.frozen
class _Statement:
    """A statement of one block that may be left out or swapped with its neighbour."""

    node: ast.stmt
    calls: bool


@attrs.frozen
class _Change:
    """A change that can be made.

    Attributes:
        line: Where it begins.
        kind: What is done there; two changes of one line differ in it.
        make: The changed lines before and after, and the whole source after; None if it cannot.
    """

    line: int
    kind: str
    make: Callable[[], tuple[str, str, str] | None]


def mutants(
    file: str, source: str, most: int | None = None, within: Container[str] | None = None
) -> list[Mutant]:
    """Mutants of a file, from its first line to its last; none occurs twice.

    Args:
        file: Path below the project.
        source: What it contains.
        within: The functions and classes that are changed, by qualified name; None: the file.
        most: How many at the most; None: all. Which they are is decided by the text of each line,
            and by nothing that is written elsewhere in the file.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    changes = [*_left_out(tree, source), *_swapped(tree, source), *_of_operators(tree, source)]
    if within is not None:
        changes = [item for item in changes if _definition_at(tree, item.line) in within]
    if most is not None:
        changes.sort(
            key=lambda change: _lot(
                file, _definition_at(tree, change.line), lines[change.line - 1], change.kind
            )
        )
    found: dict[str, Mutant] = {}
    unchanged = _program(source)
    for change in changes:
        if len(found) == most:
            break
        made = change.make()
        if made is None:
            continue
        old, new, changed = made
        try:
            program = _program(changed)
        except SyntaxError:
            continue
        if program != unchanged:
            within = _definition_at(tree, change.line)
            found.setdefault(changed, Mutant(file, change.line, within, old, new, changed))
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _lot(*texts: str) -> bytes:
    """A number that depends on texts, and on nothing else."""
    return hashlib.sha256("\n".join(texts).encode()).digest()


def _program(source: str) -> Hashable:
    """What the compiler makes of a source, wherever its lines are. Raises `SyntaxError`."""
    return _instructions(compile(source, "", "exec"))


def _instructions(code: CodeType) -> Hashable:
    constants = (
        _instructions(item) if isinstance(item, CodeType) else (type(item), repr(item))
        for item in code.co_consts
    )
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, code.co_exceptiontable, code.co_flags, names, tuple(constants)


def _as_it_is(made: tuple[str, str, str]) -> tuple[str, str, str]:
    return made


def _blocks(tree: ast.AST) -> Iterator[list[_Statement]]:
    """The simple statements of functions, in runs that follow each other."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        inner = [node, *(item for item in ast.walk(node) if isinstance(item, ast.stmt))]
        for holder in inner:
            if holder is not node and isinstance(holder, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            bodies = [getattr(holder, name, []) for name in ("body", "orelse", "finalbody")]
            bodies += [item.body for item in getattr(holder, "handlers", [])]
            for body in bodies:
                yield [
                    _Statement(item, any(isinstance(part, ast.Call) for part in ast.walk(item)))
                    for item in body
                    if _may_go(item)
                ]


def _may_go(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant()):
            return False  # a docstring
        case ast.Return(value=None):
            return True
        case ast.AnnAssign(value=None):
            return False
        case ast.Expr() | ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Return():
            return True
        case ast.Raise():
            return True
    return False


def _text(lines: Sequence[str]) -> str:
    told = (line for line in lines if not line.lstrip().startswith("#"))
    return " ".join(" ".join(told).split())


def _left_out(tree: ast.AST, source: str) -> Iterator[_Change]:
    lines = source.splitlines()
    for block in _blocks(tree):
        for statement in block:
            first, last = _lines_of(statement.node)
            indent = " " * statement.node.col_offset
            changed = [*lines[: first - 1], indent + "pass", *lines[last:]]
            made = _text(lines[first - 1 : last]), "", "\n".join(changed) + "\n"
            yield _Change(first, "left out", functools.partial(_as_it_is, made))


def _swapped(tree: ast.AST, source: str) -> Iterator[_Change]:
    lines = source.splitlines()
    for block in _blocks(tree):
        for one, other in itertools.pairwise(block):
            if not (one.calls and other.calls) or isinstance(other.node, ast.Return | ast.Raise):
                continue
            if _assigned(one.node) & _used(other.node):
                continue  # that would be a name without a value
            first, first_end = _lines_of(one.node)
            second, second_end = _lines_of(other.node)
            between = lines[first_end : second - 1]
            if any(line.strip() and not line.lstrip().startswith("#") for line in between):
                continue  # something that may not be swapped stands between them
            former, latter = lines[first - 1 : first_end], lines[second - 1 : second_end]
            changed = [*lines[: first - 1], *latter, *between, *former, *lines[second_end:]]
            old, new = f"{_text(former)}; {_text(latter)}", f"{_text(latter)}; {_text(former)}"
            made = old, new, "\n".join(changed) + "\n"
            yield _Change(first, "swapped", functools.partial(_as_it_is, made))


def _assigned(node: ast.stmt) -> set[str]:
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name))
    return {item.id for item in names if isinstance(item.ctx, ast.Store)}


def _used(node: ast.stmt) -> set[str]:
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name))
    return {item.id for item in names if isinstance(item.ctx, ast.Load)}


def _lines_of(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno


def _of_operators(tree: ast.AST, source: str) -> Iterator[_Change]:
    plugins: Any = importlib.import_module("cosmic_ray.plugins")
    trees: Any = importlib.import_module("cosmic_ray.ast")
    nodes = list(trees.ast_nodes(trees.get_ast(source)))
    declared = [
        *_annotations(tree),
        *_abstract(tree),
        *(
            item.value
            for item in ast.walk(tree)
            if isinstance(item, ast.keyword) and item.arg in DECLARED
        ),
    ]
    arithmetic = [item for item in ast.walk(tree) if isinstance(item, ast.BinOp)]
    conditions = [
        item.test
        for item in ast.walk(tree)
        if isinstance(item, ast.If | ast.While | ast.IfExp | ast.Assert)
    ]
    for name in OPERATORS:
        operator = plugins.get_operator(name)()
        positions = [
            (node, index, start)
            for node in nodes
            for index, (start, _) in enumerate(operator.mutation_positions(node))
        ]
        first: dict[int, int] = {}
        for occurrence, (node, index, start) in enumerate(positions):
            first.setdefault(start[0], occurrence)
            if any(_holds(item, start) for item in declared):
                continue
            if "Binary" in name and not any(_holds(item, start) for item in arithmetic):
                continue  # the * and / of a list of parameters
            if name.endswith("AddNot") and _is_negated_elsewhere(conditions, start):
                continue
            if (
                name.endswith("Decorator")
                and node.get_code(include_prefix=False).strip() in WITHOUT_EFFECT
            ):
                continue
            make = functools.partial(_mutated, source, operator, node, index)
            yield _Change(start[0], f"{name} at {start[1]}, {occurrence - first[start[0]]}", make)


def _mutated(source: str, operator: Any, node: Any, index: int) -> tuple[str, str, str]:
    # In a copy of the node, which must not take the whole tree along.
    above, node.parent = node.parent, None
    copied = pickle.loads(pickle.dumps(node))
    node.parent = copied.parent = above
    mutated = operator.mutate(copied, index)
    code = "" if mutated is None else mutated.get_code()
    lines = source.splitlines(keepends=True)
    (first, begin), (last, end) = node.get_start_pos_of_prefix(), node.end_pos
    before = "".join(lines[: first - 1]) + lines[first - 1][:begin]
    after = lines[last - 1][end:] if last <= len(lines) else ""
    changed = before + code + after + "".join(lines[last:])
    return (*_difference(source, changed), changed)


def _annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if annotation is not None:
                yield annotation


def _abstract(tree: ast.AST) -> Iterator[ast.AST]:
    """Abstract methods, which others have in their place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            f"@{ast.unparse(item)}" == ABSTRACT for item in node.decorator_list
        ):
            yield node


def _holds(node: Any, position: tuple[int, int]) -> bool:
    begin, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return bool(begin <= position < end)


def _is_negated_elsewhere(conditions: Iterable[ast.expr], start: tuple[int, int]) -> bool:
    """The condition at or behind `start` is a comparison or a `not`, which operators negate."""
    behind = [item for item in conditions if (item.lineno, item.col_offset) >= start]
    if not behind:
        return False
    nearest = min(behind, key=lambda item: (item.lineno, item.col_offset))
    simple = isinstance(nearest, ast.Compare) and len(nearest.ops) == 1
    return simple or isinstance(nearest, ast.UnaryOp)


def _difference(old: str, new: str) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            before.append(line[2:])
        elif line.startswith("+ "):
            after.append(line[2:])
    return _text(before), _text(after)


def _definition_at(tree: ast.AST, line: int, above: str = "") -> str:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if first <= line <= (node.end_lineno or first):
                name = f"{above}.{node.name}" if above else node.name
                return _definition_at(node, line, name)
        elif hasattr(node, "body"):
            name = _definition_at(node, line, above)
            if name != above:
                return name
    return above
