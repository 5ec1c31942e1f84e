"""Source of this package that goes out with an export: some names, and all they use."""

import ast
import graphlib
import importlib
import inspect
from collections.abc import Iterator, Sequence

from labelgraph_jax.deploy.export.program import ExportError

PACKAGE = "labelgraph_jax"
HEAD = (
    '"""How labelgraph_jax reads rows and writes predictions: a copy of its source."""'
)


class _Module:
    """A file: the names that it defines at its top, and those that it imports.

    Attributes:
        nodes: by name its definition.
        imports: by name the module that it comes from and the statement that gets it.
    """

    def __init__(self, name: str) -> None:
        self.source = inspect.getsource(importlib.import_module(name))
        self.nodes: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.parse(self.source).body:
            self.nodes |= dict.fromkeys(_defined(node), node)
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                place = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
                start = f"from {place} " if place else ""
                for alias in node.names:
                    text = f"{start}import {alias.name}"
                    text += f" as {alias.asname}" if alias.asname else ""
                    self.imports[alias.asname or alias.name] = place, text

    def text(self, node: ast.stmt) -> str:
        """The lines of a definition, its decorators too."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(each.lineno for each in decorators)])
        return "\n".join(self.source.splitlines()[first - 1 : node.end_lineno])


def self_contained(roots: Sequence[tuple[str, str]], head: str = HEAD) -> str:
    """The source of some functions and classes, and of all of the package they use.

    Names in annotations are not followed: nothing evaluates them.

    Args:
        roots: module and name of each.
        head: the docstring of the file.

    Raises:
        ExportError: two modules define one name, which one file cannot hold.
    """
    # Follow names from the roots through the modules of the package.
    modules: dict[str, _Module] = {}
    wanted: dict[str, set[str]] = {}
    before: dict[str, set[str]] = {}
    outside: set[str] = set()
    left = list(roots)
    while left:
        place, name = left.pop()
        module = modules.setdefault(place, _Module(place))
        before.setdefault(place, set())
        node = module.nodes.get(name)
        if node is None or name in wanted.setdefault(place, set()):
            continue
        wanted[place].add(name)
        for used in _used(node):
            source, statement = module.imports.get(used, ("", ""))
            if used in module.nodes:
                left.append((place, used))
            elif source.split(".")[0] == PACKAGE:
                left.append((source, used))
                before[place].add(source)
            elif statement:
                outside.add(statement)
    # Write modules after those they import, names in the order of their files.
    owners: dict[str, str] = {}
    parts = [head, "from __future__ import annotations", "\n".join(sorted(outside))]
    for place in graphlib.TopologicalSorter(before).static_order():
        module, names = modules[place], wanted.get(place, set())
        for name in names:
            if owners.setdefault(name, place) != place:
                raise ExportError(
                    f"{owners[name]} and {place} both define {name}, which one file "
                    "cannot hold"
                )
        nodes = {id(node): node for name, node in module.nodes.items() if name in names}
        ordered = sorted(nodes.values(), key=lambda node: node.lineno)
        parts += [module.text(node) for node in ordered]
    return "\n\n\n".join(parts) + "\n"


def _defined(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a file gives a value."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else []
    for target in [node.target] if isinstance(node, ast.AnnAssign) else targets:
        yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _used(node: ast.AST) -> Iterator[str]:
    """The names that a definition evaluates, in its body as well; no annotation."""
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from _used(part)
