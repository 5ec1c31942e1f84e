"""The direction of the imports, and what an import may cost."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "labelgraph_jax"
ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))

# What each part may import of the package. The files that are not named here join
# these parts, and only the command line stands above them.
ALLOWED = {
    "functional": {"functional"},
    "modules": {"functional", "modules"},
    "data": {"data"},
    "training": {"functional", "training"},
    "settings": set(),
    "task_settings": {"settings"},
    "table_settings": {"settings"},
    "memory_settings": {"settings"},
    "config": {"settings", "task_settings", "table_settings", "memory_settings"},
    "run_settings": {"settings"},
    "presets": {"config"},
    "workdir": {"config", "data", "functional"},
}
TOP = {"cli", "handlers", "verbs", "__init__", "__main__"}
FUNCTIONAL_MAY_USE = {"jax", "jaxtyping", "numpy", *sys.stdlib_module_names}
NEVER = {"torch", "tensorflow", "keras", "pickle", "dill", "cloudpickle"}


def part_of(module: str) -> str:
    """`labelgraph_jax.data.readers.texts` -> `data`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def module_name(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(name for name in names if name != "__init__")


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> dict[str, int]:
    """Every module that a file imports, anywhere in it, and in which line."""
    found: dict[str, int] = {}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports must be absolute"
            assert node.module
            found[node.module] = node.lineno
            if node.module == PACKAGE:
                found |= {f"{PACKAGE}.{a.name}": node.lineno for a in node.names}
    return found


def internal(path: Path) -> dict[str, int]:
    """The parts of the package that a file imports."""
    return {
        part_of(name): line
        for name, line in imports(path).items()
        if name.split(".")[0] == PACKAGE and name != PACKAGE
    }


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_lies_below_it(part: str) -> None:
    files = [path for path in SOURCES if part_of(module_name(path)) == part]
    assert files, f"no file of {part}"
    for path in files:
        for name, line in internal(path).items():
            assert name in ALLOWED[part], f"{path}:{line}: {part} must not see {name}"


def test_nothing_below_the_command_line_imports_it() -> None:
    for path in SOURCES:
        if part_of(module_name(path)) in TOP:
            continue
        wrong = internal(path).keys() & TOP
        assert not wrong, f"{path}: imports {wrong}"


def test_functional_uses_jax_and_numpy_and_no_framework() -> None:
    for path in SOURCES:
        if part_of(module_name(path)) != "functional":
            continue
        for name, line in imports(path).items():
            top = name.split(".")[0]
            if top != PACKAGE:
                assert top in FUNCTIONAL_MAY_USE, f"{path}:{line}: imports {top}"


def test_flax_is_known_to_modules_alone() -> None:
    for path in SOURCES:
        used = {name.split(".")[0] for name in imports(path)}
        if "flax" in used:
            assert part_of(module_name(path)) == "modules", path


def test_no_file_imports_another_framework_or_runs_what_it_reads() -> None:
    for path in SOURCES:
        for name, line in imports(path).items():
            assert name.split(".")[0] not in NEVER, f"{path}:{line}: imports {name}"
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"
            if isinstance(node, ast.keyword) and node.arg in (
                "allow_pickle",
                "trust_remote_code",
            ):
                assert isinstance(node.value, ast.Constant), f"{path}:{node.lineno}"
                assert node.value.value is False, f"{path}:{node.lineno}"


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    assert not {path.stem for path in SOURCES} & {"utils", "util", "common", "helpers"}


def loaded_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.splitlines()[-1].split())


HEAVY = {"torch", "tensorflow", "jax", "flax", "optax", "orbax", "grain", "sklearn"}


@pytest.mark.process
def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not loaded_after(f"import {PACKAGE}") & HEAVY


@pytest.mark.process
def test_the_help_of_the_command_line_imports_nothing_heavy() -> None:
    statement = f"from {PACKAGE}.cli import run; run(['--help']); run(['train', '-h'])"
    assert not loaded_after(statement) & HEAVY


@pytest.mark.process
def test_importing_what_trains_and_predicts_needs_neither_torch_nor_tensorflow() -> (
    None
):
    statement = f"import {PACKAGE}.fit, {PACKAGE}.cli"
    assert not loaded_after(statement) & {"torch", "tensorflow"}
