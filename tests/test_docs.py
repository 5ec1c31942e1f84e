"""The documentation says what is: its commands parse, its examples run, its names are.

That pages link to pages that exist is checked where they are built: sphinx-build -W.
"""

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
import warnings
from pathlib import Path

import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli import app as cli
from labelgraph_jax.cli.verbs import named_verbs
from labelgraph_jax.config import files
from tests.pages import (
    DOCS,
    PAGES,
    ROOT,
    TEXTS,
    alternatives,
    blocks,
    commands,
    page_id,
)


@pytest.mark.parametrize("path", TEXTS, ids=page_id)
def test_every_command_of_a_page_is_one_that_the_program_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []

    def take(verb: object) -> int:
        taken.append(verb)
        return 0

    for verb in named_verbs([]):
        monkeypatch.setattr(verb, "execute", take)
    monkeypatch.setattr(files, "_values", lambda path: ({}, ""))
    for command in commands(path):
        for line in alternatives(command):
            arguments = shlex.split(line)[1:]
            assert cli.run(arguments) == 0, f"{path.name}: {line}"


def test_every_setting_named_in_a_page_is_an_option_of_train(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["train", "--help-all"]) == 0
    options = set(re.findall(r"--[a-z][a-z.-]+", capsys.readouterr().out))
    for path in TEXTS:
        named = set(re.findall(r"--[a-z]+\.[a-z-]+", path.read_text("utf-8")))
        assert not named - options, path.name


def test_the_pages_hold_commands_to_be_checked() -> None:
    assert sum(len(commands(path)) for path in PAGES) > 50
    assert "labelgraph doctor" in commands(DOCS / "pods.md")


def run_examples(text: str, name: str, names: dict[str, object] | None = None) -> int:
    """Run the `>>>` examples of a text, with names that they know; return how many."""
    parsed = doctest.DocTestParser().get_doctest(text, names or {}, name, name, 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed, tried = runner.run(parsed, out=said.append)
    assert not failed, "".join(said)
    return tried


EXAMPLES = [path for path in PAGES if blocks(path, "pycon")]


@pytest.mark.parametrize("path", EXAMPLES, ids=page_id)
def test_the_examples_of_a_page_give_what_it_says(path: Path) -> None:
    for number, block in enumerate(blocks(path, "pycon")):
        assert run_examples(block, f"{path.name}, example {number + 1}")


DOCUMENTED = [
    name
    for name in lg.functional.__all__
    if ">>>" in (getattr(lg.functional, name).__doc__ or "")
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_a_function_gives_what_it_says(name: str) -> None:
    assert run_examples(getattr(lg.functional, name).__doc__, name)


OTHERS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "labelgraph_jax").rglob("*.py"))
    if "functional" not in path.parts and ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", OTHERS)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    found = [e for e in doctest.DocTestFinder().find(module) if e.examples]
    assert found
    for example in found:
        assert run_examples(example.docstring or "", example.name, vars(module) | {})


def test_the_most_used_functions_have_an_example() -> None:
    most_used = {
        "graph_attention",
        "mix_experts",
        "binary_cross_entropy",
        "evaluate_scores",
        "apply_thresholds",
        "conditional_adjacency",
    }
    assert most_used <= set(DOCUMENTED)
    assert len(DOCUMENTED) >= 25


@pytest.mark.parametrize("path", TEXTS, ids=page_id)
def test_python_in_a_page_names_what_exists(path: Path) -> None:
    for block in blocks(path, "python", "pycon"):
        code = re.sub(r"^(>>>|\.\.\.) ?", "", block, flags=re.M)
        if ">>>" in block:
            code = "\n".join(
                line[4:] for line in block.splitlines() if line[:3] in (">>>", "...")
            )
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)
        for dotted in re.findall(r"\blg((?:\.\w+)+)", code):
            value: object = lg
            for part in dotted.strip(".").split("."):
                assert hasattr(value, part), f"{path.name}: lg{dotted}"
                value = getattr(value, part)


REFERENCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((DOCS / "reference").glob("*"))
)


@pytest.mark.parametrize("package", ["functional", "modules", "inspection.figures"])
def test_every_public_name_is_in_the_reference(package: str) -> None:
    names = set(importlib.import_module(f"labelgraph_jax.{package}").__all__)
    names -= {"palette"}  # a module, documented whole
    # A page documents the names of one package; two packages may have one alike.
    pages = (page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    own = "\n".join(
        section
        for page in pages
        for section in page.split(".. currentmodule:: labelgraph_jax.")
        if section.startswith(f"{package}\n")
    )
    documented = re.findall(r"\.\. auto(?:function|class):: (\w+)$", own, re.M)
    assert sorted(documented.count(name) for name in names) == [1] * len(names), [
        name for name in names if documented.count(name) != 1
    ]


AUTOMODULES = set(re.findall(r"\.\. automodule:: ([\w.]+)$", REFERENCE, re.M))
TOP = set(lg.__all__) - {"figures", "functional", "modules", "__version__"}


@pytest.mark.parametrize("room", ["data", "training", "predictors", "runs"])
def test_every_module_of_these_rooms_is_in_the_reference(room: str) -> None:
    folder = ROOT / "labelgraph_jax" / room
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in folder.rglob("*.py")
        # A package has nothing of its own, and a corpus is asked for by its name.
        if path.name != "__init__.py" and folder / "corpora" not in path.parents
    }
    # What `lg` has is documented under that name.
    elsewhere = {getattr(lg, name).__module__ for name in TOP}
    assert modules - elsewhere <= AUTOMODULES


def test_the_names_at_the_top_of_the_package_are_in_the_reference() -> None:
    for name in TOP:
        assert re.search(rf"\.\. auto\w+:: (?:\S+\.)?{name}$", REFERENCE, re.M), name


HOUSE = [
    *TEXTS,
    ROOT / "CONTRIBUTING.md",
    ROOT / "experiments" / "README.md",
    ROOT / "tpu_scripts" / "README.md",
]


@pytest.mark.parametrize("path", HOUSE, ids=page_id)
def test_every_module_and_file_named_in_a_page_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\blabelgraph_jax(?:\.\w+)+", text):
        pkgutil.resolve_name(name)
    for name in re.findall(r"`([\w/]+\.py)`", text):
        folders = (ROOT, ROOT / "labelgraph_jax", path.parent)
        assert any((folder / name).exists() for folder in folders), name


def test_every_verb_has_its_help_on_the_page_of_verbs() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^```{verb-help} (.+)$", page, re.M))
    names = {
        re.sub(r"(?<!^)([A-Z])", r" \1", verb.__name__).lower()
        for verb in named_verbs([])
    }
    assert shown == names


def test_every_variable_that_is_read_is_on_the_page_of_facts() -> None:
    sources = [
        *(ROOT / "labelgraph_jax").rglob("*.py"),
        *(ROOT / "tpu_scripts").glob("*.sh"),
    ]
    sources += (ROOT / "tpu_scripts").glob("slurm/*")
    read = {
        name
        for path in sources
        for name in re.findall(r"\bLABELGRAPH_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))
    }
    said = set(
        re.findall(r"`(LABELGRAPH_\w+)`", (DOCS / "facts.md").read_text("utf-8"))
    )
    assert said == read


def test_the_picture_of_the_label_graph_is_what_its_script_draws() -> None:
    folder = DOCS / "pictures"
    spec = importlib.util.spec_from_file_location("picture", folder / "label_graph.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.picture() == (folder / "label_graph.svg").read_text(encoding="utf-8")
