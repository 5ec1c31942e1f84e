"""The embedded corpus: docstrings of the running interpreter's standard library.

Real text on every machine, with nothing to download. A document is the docstring
of a public module, class, method or function. Its labels are the chapter and the
subject of the module in `stdlib_docs.tsv` (a two-level taxonomy) and the kinds of
object it describes, read off the object itself.

The texts must not give the answer away by name: signature lines are cut off, and
the object's name, its class and its module are blanked wherever they stand as whole
words. Nothing of the library is called; its modules are imported, quietly, and a
module that cannot be imported is passed over. The same interpreter gives the same
corpus; another version gives a slightly different one.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import re
import sys
import sysconfig
import types
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labelgraph_jax.data.documents import Corpus, Document

NAME = "stdlib_docs"
BLANK = "_"
MIN_CHARACTERS = 40
MIN_TRAIN_DOCUMENTS = 10
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1
NEAR_IDENTICAL = 0.8

_TABLE = Path(__file__).with_name("stdlib_docs.tsv")
_KINDS = {
    "module": "a module as a whole",
    "class": "a class",
    "exception": "an exception, raised when something fails",
    "abstract class": "an abstract class, an interface to be implemented",
    "iterator": "an iterator, which yields items one by one",
    "context manager": "a context manager, used in a with statement",
    "container": "a container, which has a length and items",
    "function": "a function of a module",
    "method": "a method of a class",
    "class method": "a method called on the class itself",
    "static method": "a method that needs neither the class nor an instance",
    "attribute": "a property or attribute of an object",
    "coroutine": "a coroutine, which is awaited",
    "generator": "a generator function, which yields",
    "compiled": "an object implemented in C",
    "deprecated": "an object whose use is discouraged",
}
_KIND_PARENTS = {
    "exception": "class",
    "abstract class": "class",
    "iterator": "class",
    "context manager": "class",
    "container": "class",
    "class method": "method",
    "static method": "method",
}


_WORD = re.compile(r"\w+")
_BLANKED_PATH = re.compile(rf"\b{BLANK}(?:[.]{BLANK}\b)+")
# A line that shows how to call `name`: "name(a, b=(1, 2)) -> ".
_SIGNATURE = re.compile(
    r"^[ \t]*(?:class[ ]+)?(?:[\w<>-]+\.)*(\w+)"
    r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)[ \t]*(?:->|--|=>|:)?[ \t]*",
    re.MULTILINE,
)


class Subject(NamedTuple):
    """One line of the table: a subject, its chapter and its modules."""

    chapter: str
    subject: str
    modules: tuple[str, ...]
    description: str


class Found(NamedTuple):
    """One documented object, before its text is cleaned."""

    module: str
    qualified_name: str
    docstring: str
    kinds: tuple[str, ...]


def stdlib_docs() -> Corpus:
    """Collects the corpus from the running interpreter.

    Labels with fewer than `MIN_TRAIN_DOCUMENTS` training documents are dropped;
    documents left without a label go with them. The split is a hash of the text:
    train, validation and test hold about 70, 10 and 20 in a hundred.

    Returns:
        The corpus, with a description for every label and `parents` from subject
        to chapter and from kind to broader kind.
    """
    subjects = read_subjects()
    documents = list(_documents(subjects))
    splits: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        splits[_split_of(document.text)].append(document)
    counts = Counter(label for d in splits["train"] for label in d.labels)
    rare = {label for d in documents for label in d.labels} - {
        label for label, count in counts.items() if count >= MIN_TRAIN_DOCUMENTS
    }
    kept = {
        name: tuple(_without(document, rare) for document in split)
        for name, split in splits.items()
    }
    kept = {name: tuple(d for d in split if d.labels) for name, split in kept.items()}
    labels = {label for split in kept.values() for d in split for label in d.labels}
    descriptions, parents = _taxonomy(subjects)
    return Corpus(
        name=NAME,
        train=kept["train"],
        validation=kept["validation"],
        test=kept["test"],
        label_descriptions={n: d for n, d in descriptions.items() if n in labels},
        parents={
            child: (parent,)
            for child, parent in parents.items()
            if child in labels and parent in labels
        },
        notes=(
            "docstrings of the standard library of "
            f"{sys.implementation.name} {sys.version.split()[0]}; another version "
            "gives other counts",
            f"names blanked, near-identical texts left out; {len(rare)} labels with "
            f"fewer than {MIN_TRAIN_DOCUMENTS} training documents dropped",
        ),
    )


def read_subjects() -> list[Subject]:
    """The table of chapters, subjects and their modules."""
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [
            Subject(
                row["chapter"],
                row["subject"],
                tuple(row["modules"].split()),
                row["description"],
            )
            for row in rows
        ]


def clean_text(docstring: str, module: str, qualified_name: str) -> str:
    """The docstring without signature lines, with the object's names blanked.

    Blanked as whole words, whatever the case: the object's name, the names of the
    classes around it, the module's dotted name and each of its parts.
    """
    text = inspect.cleandoc(docstring)
    parts = [part for part in qualified_name.split(".") if part]
    if parts:
        text = _SIGNATURE.sub(
            lambda match: "" if match[1] == parts[-1] else match[0], text
        )
    names = {part.lower() for part in parts + module.split(".")}
    names |= {name.strip("_") for name in names}
    text = _WORD.sub(
        lambda match: BLANK if match[0].lower() in names else match[0], text
    )
    text = _BLANKED_PATH.sub(BLANK, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _documents(subjects: list[Subject]) -> Iterator[Document]:
    """The distinct cleaned documents with all their labels, in a fixed order."""
    place = {module: row for row in subjects for module in row.modules}
    subjects_of = Counter(row.chapter for row in subjects)
    candidates: dict[str, Document] = {}
    for found in _collect(sorted(place)):
        text = clean_text(found.docstring, found.module, found.qualified_name)
        if len(text) < MIN_CHARACTERS:
            continue
        key = " ".join(_words(text))
        row = place[found.module]
        # The only subject of its chapter would be the same label twice.
        both = subjects_of[row.chapter] > 1
        candidates.setdefault(
            key,
            Document(
                id=f"{found.module}:{found.qualified_name}".rstrip(":"),
                text=text,
                labels=(
                    f"chapter: {row.chapter}",
                    *((f"subject: {row.subject}",) if both else ()),
                    *(f"kind: {kind}" for kind in found.kinds),
                ),
            ),
        )
    yield from _without_near_identical(list(candidates.values()))


def _collect(modules: list[str]) -> Iterator[Found]:
    """Every documented public object of the modules, each once."""
    seen: set[int] = set()
    listed = set(modules)
    for name in modules:
        module = _import_quietly(name)
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module.__doc__, str):
            yield Found(name, "", module.__doc__, ("module",))
        for public, value in _public_members(module, listed):
            if id(value) not in seen:
                seen.add(id(value))
                yield from _walk(name, public, value, seen)


def _import_quietly(name: str) -> types.ModuleType | None:
    """The module, or None where it is missing, fails or is no library module."""
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return None
    silence = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            warnings.simplefilter("ignore")
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
        if name.startswith("_") or not isinstance(value, _CALLABLES):
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


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _without_near_identical(documents: list[Document]) -> list[Document]:
    """Leaves out each text whose word triples nearly equal an earlier text's.

    Two texts are near-identical when the Jaccard similarity of their sets of word
    triples reaches `NEAR_IDENTICAL`. Sets that similar must share one of their
    rarest few triples, so only texts that share one of those are compared.
    """
    triples = []
    for document in documents:
        words = _words(document.text)
        triples.append(frozenset(zip(words, words[1:], words[2:], strict=False)))
    frequency = Counter(triple for one in triples for triple in one)
    by_rare_triple: dict[tuple[str, ...], list[int]] = {}
    kept: list[int] = []
    for number, mine in enumerate(triples):
        rarest = sorted(mine, key=lambda triple: (frequency[triple], triple))
        rarest = rarest[: len(mine) - int(NEAR_IDENTICAL * len(mine)) + 1]
        earlier = {n for triple in rarest for n in by_rare_triple.get(triple, ())}
        if any(
            len(mine & triples[n]) >= NEAR_IDENTICAL * len(mine | triples[n])
            for n in earlier
        ):
            continue
        kept.append(number)
        for triple in rarest:
            by_rare_triple.setdefault(triple, []).append(number)
    return [documents[number] for number in kept]


def _split_of(text: str) -> str:
    """The split a text belongs to, decided by nothing but the text."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"


def _without(document: Document, labels: set[str]) -> Document:
    kept = tuple(label for label in document.labels if label not in labels)
    return Document(document.id, document.text, kept)


def _taxonomy(subjects: list[Subject]) -> tuple[dict[str, str], dict[str, str]]:
    """Label descriptions, and for each child label its parent."""
    descriptions: dict[str, str] = {}
    parents: dict[str, str] = {}
    for row in subjects:
        chapter, subject = f"chapter: {row.chapter}", f"subject: {row.subject}"
        descriptions[subject] = f"{row.subject}: {row.description}"
        parents[subject] = chapter
        earlier = descriptions.get(chapter, f"{row.chapter}:")
        comma = "" if earlier.endswith(":") else ","
        descriptions[chapter] = f"{earlier}{comma} {row.subject}"
    for kind, description in _KINDS.items():
        descriptions[f"kind: {kind}"] = f"{kind}: {description}"
    for kind, parent in _KIND_PARENTS.items():
        parents[f"kind: {kind}"] = f"kind: {parent}"
    return descriptions, parents
