"""Every documented public object of library modules, as a fresh interpreter has them.

A process of its own reads them (`python -I -S`: no site packages, no variable of the
environment, nothing imported before), so that neither another package, nor what was
imported earlier, nor a file that hides a library module can change them. It imports
the modules, quietly, and passes over a module that this Python lacks. Everything else
is looked up in the modules' and classes' own namespaces, so that no property, no
module `__getattr__` and no metaclass runs. What Linux has and macOS has not, or the
other way round, is left out by name.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import NamedTuple

ONE_SYSTEM_ONLY = {
    "posix": (
        "chflags copy_file_range eventfd eventfd_read eventfd_write fdatasync "
        "getrandom getresgid getresuid getxattr lchflags lchmod listxattr memfd_create "
        "pidfd_open pipe2 posix_fadvise posix_fallocate removexattr "
        "sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval "
        "sched_setaffinity sched_setparam sched_setscheduler setns setresgid setresuid "
        "setxattr splice timerfd_create timerfd_gettime timerfd_gettime_ns "
        "timerfd_settime timerfd_settime_ns unshare waitid waitid_result"
    ),
    "resource": "prlimit",
    "select": "devpoll epoll kevent kqueue",
    "selectors": "DevpollSelector EpollSelector KqueueSelector",
    "signal": "pidfd_send_signal sigtimedwait sigwaitinfo struct_siginfo",
    "sqlite3": "Connection.enable_load_extension Connection.load_extension",
    "time": "pthread_getcpuclockid",
    "webbrowser": "MacOSX MacOSXOSAScript",
}
"""Names that only some systems or builds have, by module; after typeshed's stubs."""


class Found(NamedTuple):
    """One documented object, before its text is cleaned."""

    module: str
    qualified_name: str
    docstring: str
    kinds: tuple[str, ...]


@functools.cache
def documented_objects(modules: tuple[str, ...]) -> tuple[Found, ...]:
    """Every documented public object of the modules, each once, in a fixed order.

    An object that several modules show is found in the one it is at home in.

    Args:
        modules: names of modules of the standard library.

    Returns:
        The objects, module by module.

    Raises:
        DataError: the interpreter could not be started once more, or it failed.
    """
    # Without site packages the process knows the standard library alone.
    command = [sys.executable, "-I", "-S", "-X", "utf8", __file__, *modules]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        rows = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        from labelgraph_jax.data.documents import DataError  # not in the fresh one

        last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise DataError(
            "docstrings are read by a fresh interpreter, "
            f"{sys.executable or 'sys.executable'!r}, which failed: {last[-1]}"
        ) from error
    found = (Found(module, name, doc, tuple(k)) for module, name, doc, k in rows)
    return tuple(one for one in found if _is_everywhere(one))


def _is_everywhere(found: Found) -> bool:
    names = {found.qualified_name, found.qualified_name.partition(".")[0]}
    return not names & set(ONE_SYSTEM_ONLY.get(found.module, "").split())


def _read(modules: list[str]) -> Iterator[Found]:
    """The same, read in this very process."""
    seen: set[int] = set()
    listed = set(modules)
    for name in modules:
        module = _imported(name)
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module.__doc__, str):
            yield Found(name, "", module.__doc__, ("module",))
        for public, value in _public_members(module, listed):
            if id(value) not in seen:
                seen.add(id(value))
                yield from _walk(name, public, value, seen)


def _imported(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def _public_members(
    module: types.ModuleType, listed: set[str]
) -> Iterator[tuple[str, object]]:
    """Public classes and functions that are at home in the module."""
    members = vars(module)
    declared = members.get("__all__")
    names = declared if isinstance(declared, list | tuple) else members
    for name in sorted(name for name in names if isinstance(name, str)):
        value = members.get(name)
        if name.startswith("_"):
            continue
        if not isinstance(value, _CALLABLES):
            continue
        home = getattr(value, "__module__", None)
        own = home in (module.__name__, f"_{module.__name__}")
        private_helper = declared is not None and home not in listed
        if own or private_helper:
            yield name, value


def _walk(module: str, name: str, value: object, seen: set[int]) -> Iterator[Found]:
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


def _member_kinds(raw: object) -> tuple[str, ...]:
    """The kinds of a class member; none for a value that is no such object."""
    if isinstance(raw, classmethod | types.ClassMethodDescriptorType):
        return ("method", "class method")
    if isinstance(raw, staticmethod):
        return ("method", "static method")
    if isinstance(raw, _ATTRIBUTES):
        return ("attribute",)
    return ("method",) if isinstance(raw, _METHODS) else ()


def _traits(value: object, doc: str) -> tuple[str, ...]:
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


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        rows = list(_read(sys.argv[1:]))
    print(json.dumps(rows))
