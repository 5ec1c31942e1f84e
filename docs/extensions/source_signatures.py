"""Signatures as the source has them: `nodes: Float[Array, 'N D']`.

At run time a shape is a class whose printed form names modules; what a person wrote is
what a person can read.
"""

import ast
import builtins
import functools
import importlib
import inspect
import textwrap
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import labelgraph_jax
from labelgraph_jax import config, functional, modules


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx ask here for the signature of what it documents."""
    app.connect("autodoc-process-signature", _process)
    return {"parallel_read_safe": True}


def _process(
    _: Any, what: str, name: str, obj: Any, options: Any, *signature: str | None
) -> tuple[str, str | None] | None:
    if what not in ("function", "method", "class"):
        return None
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(obj)))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    node = _Linked(_names(inspect.getmodule(obj) or builtins)).visit(node)
    if isinstance(node, ast.ClassDef):
        # Settings are many, and each stands below with its default.
        return ("" if node.name.endswith("Config") else _fields(node), None)
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, what)
    return None


class _Linked(ast.NodeTransformer):
    """Names of our own classes with the module that this site documents them in."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._linked(node, node.id)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """`-> "Table"` is a name as well."""
        return self._linked(node, node.value) if isinstance(node.value, str) else node

    def _linked(self, node: ast.expr, name: str) -> ast.expr:
        found = self.names.get(name)
        if not isinstance(found, type):
            return node
        if not found.__module__.startswith("labelgraph_jax."):
            return node
        # `~a.b.C` is Sphinx's way to write C and link to a.b.C.
        return ast.Name(f"~{_public_module(found)}.{found.__qualname__}", ast.Load())


@functools.cache
def _names(module: ModuleType) -> dict[str, Any]:
    """What the names in a module mean, also those that only a type checker imports."""
    names = dict(vars(module))
    if not module.__name__.startswith("labelgraph_jax"):
        return names
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and "labelgraph_jax" in (node.module or ""):
            source = importlib.import_module(str(node.module))
            for alias in node.names:
                names.setdefault(alias.name, getattr(source, alias.name, None))
    return names


def _public_module(found: type) -> str:
    for module in (functional, modules, config, labelgraph_jax):
        if getattr(module, found.__name__, None) is found:
            return module.__name__
    return found.__module__


def _of_function(node: ast.FunctionDef, what: str) -> tuple[str, str | None]:
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    arguments = node.args
    if what == "method" and "staticmethod" not in decorators:
        first = arguments.posonlyargs or arguments.args
        del first[:1]
    returns = ast.unparse(node.returns) if node.returns else None
    return f"({ast.unparse(arguments)})", returns


def _fields(node: ast.ClassDef) -> str:
    """What a dataclass, NamedTuple or Linen module is made of."""
    made = next(
        (
            part
            for part in node.body
            if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        ),
        None,
    )
    if made:
        return _of_function(made, "method")[0]
    fields = [
        part
        for part in node.body
        if isinstance(part, ast.AnnAssign) and ast.unparse(part.target)[0] != "_"
    ]
    # A NamedTuple is its signature; the other classes say more of every field below it.
    short = not any(ast.unparse(base) == "NamedTuple" for base in node.bases)
    names = [ast.unparse(part.target if short else part) for part in fields]
    return f"({', '.join(names)})" if names else ""
