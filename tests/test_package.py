"""The names that a person may rely on."""

import inspect
import tomllib
from pathlib import Path

import pytest
import yaml

import labelgraph_jax as lg

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", lg.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lg, name) is not None
    assert name in dir(lg)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trainer'"):
        _ = lg.trainer


@pytest.mark.parametrize("package", ["functional", "modules"])
def test_every_public_name_of_a_subpackage_is_there_and_documented(
    package: str,
) -> None:
    module = getattr(lg, package)
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert inspect.getdoc(value), f"{package}.{name} says nothing"


def test_the_promised_signatures_are_kept() -> None:
    attention = inspect.signature(lg.functional.graph_attention).parameters
    assert list(attention)[:4] == [
        "nodes",
        "kernel",
        "receiver_vector",
        "sender_vector",
    ]
    for name, default in (
        ("adjacency", None),
        ("edge_weights", None),
        ("negative_slope", 0.2),
    ):
        assert attention[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert attention[name].default == default
    assert lg.graph_attention is lg.functional.graph_attention
    losses = inspect.signature(lg.functional.binary_cross_entropy).parameters
    assert list(losses)[:2] == ["logits", "targets"]
    counts = inspect.signature(lg.functional.cooccurrence).parameters
    assert next(iter(counts)) == "targets"
    assert callable(lg.functional.lstm)


def test_the_version_is_that_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == lg.__version__
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == lg.__version__
    assert cited["authors"] == project["project"]["authors"]


def test_the_types_are_shipped() -> None:
    assert (ROOT / "labelgraph_jax" / "py.typed").is_file()
