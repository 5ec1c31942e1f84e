"""What CONTRIBUTING.md says of adding something is so."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.cli import app
from labelgraph_jax.cli.output import write
from labelgraph_jax.cli.verbs import VERBS
from labelgraph_jax.predictors import loss_choice
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.runs.labels import LabelProblem
from labelgraph_jax.runs.problem import Problem
from labelgraph_jax.runs.tables.problem import TableProblem

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("\n## How to add\n")[1]
RECIPES = RECIPES.split("\n## ")[0]
NAMED = re.findall(r"`([\w/.]+\.(?:py|md))`(?::\s+`([^`]+)`)?", RECIPES)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part or "file")
def test_every_file_of_a_recipe_is_there_and_has_what_it_names(
    path: str, name: str
) -> None:
    assert name in (ROOT / path).read_text("utf-8")


def test_the_recipes_name_enough_to_be_held_to() -> None:
    assert len(NAMED) > 15
    kinds = re.findall(r"^\*\*An? (\w+)\*\*", RECIPES, re.MULTILINE)
    assert kinds == ["encoder", "problem", "corpus", "loss", "verb"]


@pytest.mark.parametrize("problem", [LabelProblem, TableProblem])
def test_both_problems_answer_all_that_one_must(problem: type) -> None:
    asked = {name for name in vars(Problem) if not name.startswith("_")}
    fields = {field.name for field in dataclasses.fields(problem)}
    assert asked - {"read"} <= fields | set(dir(problem))


def test_a_loss_is_added_as_its_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def squared(logits: Any, targets: Any, *, label_smoothing: float, **masks: Any):
        return jnp.sum((logits - targets) ** 2), jnp.float32(logits.size)

    monkeypatch.setitem(loss_choice.LOSSES, "squared", squared)
    monkeypatch.setitem(loss_choice.LOSS_SETTINGS, "squared", ())
    ones = np.ones(2, np.float32)
    graph = LabelGraphArrays(ones[:, None], np.eye(2, dtype=np.float32), ones / 2, ones)
    config: Any = SimpleNamespace(kind="squared", label_smoothing=0.0)
    loss = loss_choice.choose_loss(config, graph)
    logits, targets = jnp.asarray([[1.0, 3.0]]), jnp.asarray([[1.0, 0.0]])
    assert [float(part) for part in loss(logits, targets)] == [9.0, 2.0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Greet:
    """Greet a person.

    Examples:
      labelgraph greet --name Ada
    """

    name: str = "you"
    """Who."""

    def execute(self) -> int:
        """Greet."""
        write(f"hello {self.name}")
        return 0


def test_a_verb_is_added_as_its_recipe_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(VERBS, "greet", Greet)
    assert app.run(["greet", "--name", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"
    assert app.run(["greet", "--help"]) == 0
    assert "labelgraph greet --name Ada" in capsys.readouterr().out
    assert app.run(["greet", "--nam", "Ada"]) == 2
    assert "the nearest is --name" in capsys.readouterr().err
