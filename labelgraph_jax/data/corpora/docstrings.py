"""Finding every documented public object of library modules, calling none.

The modules are imported, quietly, and a module that cannot be imported is passed
over. Everything else is looked up in the modules' and classes' own namespaces, so
that no property, no module `__getattr__` and no metaclass runs.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labelgraph_jax.data.corpora.quiet import quiet


class Found(NamedTuple):
    """One documented object, before its text is cleaned."""

    module: str
    qualified_name: str
    docstring: str
    kinds: tuple[str, ...]


def documented_objects(modules: list[str]) -> Iterator[Found]:
    """Every documented public object of the modules, each once, in a fixed order.

    An object that several modules show is found in the one it is at home in.
    """
    seen: set[int] = set()
    listed = set(modules)
    for name in modules:
        module = import_quietly(name)
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module.__doc__, str):
            yield Found(name, "", module.__doc__, ("module",))
        for public, value in _public_members(module, listed):
            if id(value) not in seen:
                seen.add(id(value))
                yield from _walk(name, public, value, seen)


def import_quietly(name: str) -> types.ModuleType | None:
    """The module, or None where it is missing, fails or is no library module."""
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return None
    try:
        with quiet():
            if not _is_of_the_library(top):
                return None
            importlib.import_module(name)
    except Exception:
        return None
    return sys.modules.get(name)


@functools.cache
def _is_of_the_library(top: str) -> bool:
    """Whether the name leads to the interpreter's file, not to one that hides it."""
    loaded = sys.modules.get(top)
    spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(top)
    if spec is None:
        return False
    if spec.origin in ("built-in", "frozen"):
        return True
    paths = sysconfig.get_paths()
    folders = {Path(paths[key]).resolve() for key in ("stdlib", "platstdlib")}
    folders.add((Path(sys.base_prefix) / "DLLs").resolve())  # Windows
    origin = Path(spec.origin or "").resolve()
    installed = {"site-packages", "dist-packages"} & set(origin.parts)
    return not installed and any(folder in origin.parents for folder in folders)


def _public_members(
    module: types.ModuleType, listed: set[str]
) -> Iterator[tuple[str, Any]]:
    """Public classes and functions that are at home in the module."""
    members = vars(module)
    declared = members.get("__all__")
    names = declared if isinstance(declared, list | tuple) else members
    for name in sorted(name for name in names if isinstance(name, str)):
        value = members.get(name)
        # A hook (sys.excepthook, ...) is there to be replaced, and often is: our own
        # command line shows warnings in its own way.
        if name.startswith("_") or name.endswith(("hook", "showwarning")):
            continue
        if not isinstance(value, _CALLABLES):
            continue
        home = getattr(value, "__module__", None)
        own = home in (module.__name__, f"_{module.__name__}")
        private_helper = declared is not None and home not in listed
        if own or private_helper:
            yield name, value


def _walk(module: str, name: str, value: Any, seen: set[int]) -> Iterator[Found]:
    """The object itself and, for a class, its public members."""
    if not isinstance(value, type):
        doc = value.__doc__
        if isinstance(doc, str):
            yield Found(module, name, doc, ("function", *_traits(value, doc)))
        return
    doc = vars(value).get("__doc__")
    if isinstance(doc, str):
        yield Found(module, name, doc, (*_class_kinds(value), *_traits(value, doc)))
    for member, raw in sorted(vars(value).items()):
        if member.startswith("_"):
            continue
        if isinstance(raw, type):
            if id(raw) not in seen and raw.__qualname__.startswith(value.__qualname__):
                seen.add(id(raw))
                yield from _walk(module, f"{name}.{member}", raw, seen)
            continue
        kinds = _member_kinds(raw)
        function = getattr(raw, "__func__", raw)
        doc = getattr(function, "__doc__", None) if kinds else None
        if isinstance(doc, str):
            found = (*kinds, *_traits(function, doc))
            yield Found(module, f"{name}.{member}", doc, found)


def _class_kinds(cls: type) -> tuple[str, ...]:
    has = functools.partial(_defines, cls)
    tests = {
        "exception": issubclass(cls, BaseException),
        "abstract class": inspect.isabstract(cls),
        "iterator": has("__next__") or has("__anext__"),
        "context manager": has("__enter__") or has("__aenter__"),
        "container": has("__len__") and has("__getitem__"),
    }
    return ("class", *(kind for kind, holds in tests.items() if holds))


def _defines(cls: type, name: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__)


def _member_kinds(raw: Any) -> tuple[str, ...]:
    """The kinds of a class member; none for a value that is no such object."""
    if isinstance(raw, classmethod | types.ClassMethodDescriptorType):
        return ("method", "class method")
    if isinstance(raw, staticmethod):
        return ("method", "static method")
    if isinstance(raw, _ATTRIBUTES):
        return ("attribute",)
    return ("method",) if isinstance(raw, _METHODS) else ()


def _traits(value: Any, doc: str) -> tuple[str, ...]:
    is_async = inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)
    compiled = isinstance(value, _COMPILED) or (
        isinstance(value, type) and not value.__flags__ & (1 << 9)
    )
    tests = {
        "coroutine": is_async,
        "generator": inspect.isgeneratorfunction(value),
        "compiled": compiled,
        "deprecated": re.search(r"(?i)\bdeprecated\b", doc) is not None,
    }
    return tuple(kind for kind, holds in tests.items() if holds)


_CACHED = type(functools.lru_cache(len))
_CALLABLES = (type, types.FunctionType, types.BuiltinFunctionType, _CACHED)
_METHODS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    _CACHED,
)
_ATTRIBUTES = (
    property,
    functools.cached_property,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_COMPILED = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
