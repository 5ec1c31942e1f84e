"""Settings without an effect: every setting is read somewhere, or refused."""

import dataclasses
import functools
import typing
from typing import Any

import pytest

from labelgraph_jax.config import (
    LOSS_SETTINGS,
    RULES_LEARNED,
    Config,
    ConfigError,
    changed,
    from_dict,
    idle,
    refuse_idle,
    to_dict,
)
from labelgraph_jax.config.effects import EFFECTS
from labelgraph_jax.config.presets import PRESETS, preset
from labelgraph_jax.config.settings import flatten

NAMES = tuple(flatten(to_dict(Config())))
RULED = tuple(name for names in EFFECTS for name in names.split())
OF_TABLE = {
    "data": {"data": "x.csv"},
    "table": {"tasks": ["click=binary", "rating=squared"]},
}
RUNS: dict[str, dict[str, Any]] = {
    "default": {},
    "own files": {"data": {"data": "a", "validation": "b", "test": "c"}},
    "one file": {"data": {"data": "a"}},
    "unlabelled": {"data": {"unlabelled": "u"}},
    "target": {"data": {"target": "t"}},
    "frequencies": {"data": {"target": "t"}, "adapt": {"kind": "prior"}},
    "domains": {"data": {"target": "t"}, "adapt": {"kind": "adversarial"}},
    "taxonomy": {"data": {"taxonomy": "t"}, "hierarchy": {"kind": "contrast"}},
    "no unlabelled": {"data": {"unlabelled": "u"}, "semi": {"kind": "none"}},
    "cnn": {"text": {"encoder": "cnn", "long_documents": "windows"}},
    "transformer": {"text": {"encoder": "transformer"}},
    "pretrained": {"text": {"encoder": "transformer", "vectors": "pretrained"}},
    "static": {"text": {"vectors": "static"}},
    "both": {"text": {"encoder": "bag+static"}},
    "decoder": {"head": {"kind": "recurrent"}},
    "attention": {"head": {"kind": "label_attention"}, "text": {"encoder": "cnn"}},
    "taxonomy's graph": {"hierarchy": {"kind": "graph"}},
    "chosen graph": {"graph": {"kind": "auto"}},
    "graph of documents": {
        "head": {"kind": "label_attention"},
        "graph": {"kind": "document"},
    },
    "no graph": {"graph": {"layers": 0}},
    "one layer": {"graph": {"layers": 1}},
    "thresholded": {"graph": {"initialisation": "thresholded"}},
    "similar": {"graph": {"initialisation": "similarity"}},
    "complete": {"graph": {"role": "none"}},
    "convolution": {"graph": {"attention": "convolution", "role": "fixed"}},
    "relu": {"graph": {"attention": "relu"}},
    "drawn features": {"graph": {"features": "random"}},
    "whole scores": {"head": {"label_chunk": 0}},
    "mixture": {"mixture": {"kind": "mmoe"}},
    "one gate": {"mixture": {"kind": "omoe"}},
    "own experts": {"mixture": {"kind": "ple"}},
    "pulled": {"mixture": {"kind": "l2_constrained"}},
    "memory": {"memory": {"kind": "documents"}},
    "other memory": {"memory": {"kind": "pretrained"}},
    "at 0.5": {"threshold": {"kind": "half"}},
    "most probable": {"threshold": {"kind": "top_k"}},
    "by slope": {"threshold": {"kind": "sloped"}},
    "rules": {"rules": {"file": "r"}},
    "rules as a layer": {"rules": {"file": "r", "kind": "shield"}},
    "counted rules": {"rules": {"file": "r", "kind": "report"}},
    "table": OF_TABLE,
    "split table": OF_TABLE | {"data": {"data": "x", "validation": "y", "test": "z"}},
    **{f"loss {kind}": {"loss": {"kind": kind}} for kind in LOSS_SETTINGS},
    "one number": OF_TABLE | {"table": {"tasks": ["rating=squared"]}},
}
"""Runs of every kind, as little of them as says which they are."""
OTHER = {
    "data.data": "x",
    "text.vectors": "pretrained",
    "table.tasks": ["x=binary"],
    "training.selection_metric": "macro_f1",
}
"""Values of settings whose own section takes no others."""


def other_value(name: str) -> Any:
    """A value of a setting that is not its default."""
    section, key = name.split(".")
    holder = getattr(Config(), section)
    hint, value = typing.get_type_hints(type(holder))[key], getattr(holder, key)
    if name in OTHER:
        return OTHER[name]
    kinds = [h for h in typing.get_args(hint) if h is not type(None)] or [hint]
    if tuple in {typing.get_origin(kind) for kind in (hint, *kinds)}:
        return ["x"] if str in kinds else [1]
    if typing.get_origin(hint) is typing.Literal:
        return next(kind for kind in kinds if kind != value)
    if bool in kinds:
        return not value
    if int in kinds:
        return (value or 0) + 1
    return (value or 0.5) / 2 if float in kinds else "x"


def with_setting(run: dict[str, Any], name: str, value: Any) -> Config:
    section, key = name.split(".")
    return from_dict({**run, section: {**run.get(section, {}), key: value}})


@functools.cache
def runs_with(name: str) -> tuple[list[str], list[str]]:
    """The runs in which a changed setting is read, and those in which it is not."""
    read, unread = [], []
    for kind, run in RUNS.items():
        try:
            config = with_setting(run, name, other_value(name))
        except ConfigError:
            unread.append(kind)  # refused by name, whatever was typed
            continue
        if name in changed(config):
            (unread if name in idle(config) else read).append(kind)
    return read, unread


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_an_effect_in_some_run(name: str) -> None:
    read, _ = runs_with(name)
    files = {"graph.adjacency_file", "graph.vectors_file", "text.vectors_file"}
    assert read or name in files, "files are refused without the choice that reads them"


@pytest.mark.parametrize("name", RULED)
def test_every_rule_refuses_its_setting_in_some_run(name: str) -> None:
    assert runs_with(name)[1], name


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_no_preset_has_a_setting_without_effect(name: str) -> None:
    assert idle(preset(name)) == idle(preset(name).resolved()) == {}


@pytest.mark.parametrize("kind", RUNS)
def test_what_a_run_keeps_of_its_settings_is_never_refused(kind: str) -> None:
    config = from_dict(RUNS[kind])
    assert idle(config) == {}
    refuse_idle(config.resolved())


LEFT_UNREAD = {
    "hierarchy.kind": {"hierarchy": {"kind": "graph"}, "graph": {"heads": 3}},
    "ple": {"mixture": {"kind": "omoe", "levels": 1}},
    "several tasks": OF_TABLE
    | {"table": {"tasks": ["a=binary"]}, "mixture": {"weighting": "gradnorm"}},
}


@pytest.mark.parametrize("need", LEFT_UNREAD)
def test_a_setting_that_a_choice_elsewhere_leaves_unread_is_refused(need: str) -> None:
    with pytest.raises(ConfigError, match=rf"has no effect .* only with .*{need}"):
        refuse_idle(from_dict(LEFT_UNREAD[need]))


@pytest.mark.parametrize(
    "graph",
    [
        {"heads": 2},
        {"negative_slope": 0.1},
        {"role": "mask"},
        {"method": "sparse"},
        {"initialisation": "thresholded", "tau": 0.4, "p": 0.5},
        {"initialisation": "similarity", "neighbours": 3, "features": "word_vectors"},
    ],
)
def test_messages_in_every_document_read_settings_of_a_graph_without_layers(
    graph: dict[str, Any],
) -> None:
    given = {"kind": "document", "layers": 0, **graph}
    if graph.get("features") == "word_vectors":
        given["vectors_file"] = "v"
    refuse_idle(from_dict({"head": {"kind": "label_attention"}, "graph": given}))
    with pytest.raises(ConfigError, match=r"no effect .*graph.kind='document'"):
        refuse_idle(from_dict({"graph": {**given, "kind": "static"}}))


@pytest.mark.parametrize("kind", ["auto", "report", "decode", "shield", "loss"])
def test_the_weight_of_rules_is_given_where_they_are_a_loss(kind: str) -> None:
    given = from_dict({"rules": {"file": "r", "kind": kind, "weight": 2.0}})
    refused = "rules.weight" in idle(given)
    assert refused == (kind not in RULES_LEARNED)


@pytest.mark.parametrize(
    "graph",
    [
        {"kind": "auto"},
        {"learned": True},
        {"attention_dropout": 0.2},
        {"rank": 2},
        {"role": "mask"},
    ],
)
def test_a_hierarchy_that_makes_the_graph_names_what_was_given_beside(
    graph: dict[str, Any],
) -> None:
    ((name, value),) = graph.items()
    with pytest.raises(
        ConfigError, match=rf"^hierarchy.kind='graph' .*; got graph.{name}={value!r}$"
    ):
        from_dict({"hierarchy": {"kind": "graph"}, "graph": graph})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"graph": {"tau": 0.4}},
            r"graph.tau=0.4 has no effect in this run: it is read only with "
            r"graph.initialisation='thresholded', not 'cooccurrence'",
        ),
        (
            {"graph": {"attention": "convolution", "role": "fixed", "heads": 2}},
            r"graph.heads=2 .* graph.attention='gat' or 'gatv2' or 'relu', not 'conv",
        ),
        (
            {"graph": {"layers": 0, "hidden": 64}},
            r"graph.hidden=64 .* graph.layers>=2, not 0",
        ),
        ({"head": {"max_labels": 5}}, "head.kind='recurrent', not 'product'"),
        ({"text": {"max_windows": 5}}, "text.long_documents='windows', not 'head'"),
        ({"mixture": {"experts": 5}}, "a mixture.kind, or tasks of a table"),
        (
            {"mixture": {"kind": "shared_bottom", "experts": 5}},
            "read only with gates",
        ),
        (
            {"training": {"body_learning_rate": 1e-5}},
            "a pretrained encoder that is trained",
        ),
        (
            {"text": {"vectors": "pretrained", "dim": 64}},
            "text.vectors='random', not 'pretrained'",
        ),
        (
            {"head": {"kind": "recurrent"}, "graph": {"heads": 2}},
            "head.kind='product' or 'label_attention', not 'recurrent'",
        ),
        (
            {"text": {"dropout": 0.0}, "loss": {"r_drop": 1.0}},
            r"loss.r_drop=1.0 .* only with text.dropout above 0, and no other term",
        ),
        (
            {"loss": {"r_drop": 1.0, "contrast": 0.1}},
            "only with text.dropout above 0, and no other term of the loss",
        ),
        (
            {"hierarchy": {"kind": "consistent"}, "loss": {"logit_adjustment": 1.0}},
            "only with a loss of labels that is its kind's",
        ),
        (
            {"training": {"average": "ema", "row_updates": False}},
            "training.row_updates=False .* training.average='none', not 'ema'",
        ),
        ({"memory": {"neighbours": 7}}, "memory.kind='documents' or 'pretrained'"),
        ({"threshold": {"kind": "half", "shrinkage": 1.0}}, "threshold.shrinkage=1.0"),
        ({"data": {"data": "x", "corpus": "planted"}}, "only with no data.data"),
        (
            {**OF_TABLE, "training": {"selection_metric": "macro_f1"}},
            "a table has always 'skill'",
        ),
        (
            {"data": {"unlabelled": "u"}, "semi": {"kind": "none", "ratio": 2}},
            "semi.ratio=2 .*, not 'none'",
        ),
    ],
)
def test_a_setting_without_effect_is_refused_with_the_reason(
    sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_idle(from_dict(sections))


def test_what_a_run_started_from_was_not_given() -> None:
    start = preset("minilm-finetune")
    plain = dataclasses.replace(start, graph=dataclasses.replace(start.graph, layers=0))
    refuse_idle(plain, start)
    with pytest.raises(ConfigError, match=r"graph.hidden=64 has no effect"):
        refuse_idle(plain)
