"""Taxonomies and overlapping label sets in training: what a run learns, says, keeps."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import (
    Config,
    ConfigError,
    GraphConfig,
    HierarchyConfig,
    LossConfig,
    RulesConfig,
)
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.labels.taxonomy import (
    closed_documents,
    closed_share,
    hierarchy_edges,
)
from labelgraph_jax.predictors.hierarchy import hierarchy_results, require_every_label
from labelgraph_jax.predictors.structure import KINDS, choose_hierarchy, kinds_of
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit, problem_of
from tests.deploy.test_export import run_example
from tests.tiny import tiny_config
from tests.zoo import Zoo

DAG = "Root\tgoods\tship\ngoods\tgrain\toil\ngrain\twheat\tcorn\nship\toil\n"
"""oil lies under goods and under ship."""


@pytest.fixture(scope="module")
def taxonomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("taxonomy") / "taxonomy.tsv"
    path.write_text(DAG, encoding="utf-8")
    return path


def settings(zoo: Zoo, taxonomy: Path, kind: str, **data) -> Config:
    own = dataclasses.replace(zoo.data, taxonomy=str(taxonomy), **data)
    config = tiny_config(own, training={"epochs": 3, "batch_size": 8})
    return dataclasses.replace(config, hierarchy=HierarchyConfig(kind=kind))


@pytest.fixture(scope="module")
def consistent(zoo: Zoo, taxonomy: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("consistent") / "run"
    fit(settings(zoo, taxonomy, "consistent"), folder, progress=False)
    return folder


TEXTS = ["maize cob barrel", "crude of the port", "", "flour flour new today"] * 20


def test_a_consistent_model_has_no_violation_by_construction(consistent: Path):
    model = load(consistent)
    found = model.predict_proba(TEXTS)
    pairs = model.label_space.parent_pairs()
    assert len(pairs) == 3  # wheat, corn under grain, oil under ship
    assert (found[:, pairs[:, 1]] >= found[:, pairs[:, 0]]).all()
    results = json.loads((consistent / "results.json").read_text())["test"]
    assert results["hierarchy"]["violations_per_1000"] == 0
    assert results["decision"]["consistent"]
    assert [level["labels"] for level in results["hierarchy"]["levels"]] == [2, 3]
    assert evaluate_workdir(consistent)["test"] == results
    parents = dict.fromkeys(["wheat", "corn"], "grain") | {"oil": "ship"}
    for labels in model.predict(TEXTS):
        assert all(parents[n] in labels for n in labels if n in parents)


def test_an_export_of_a_consistent_model_says_the_same(consistent, tmp_path):
    assert run(["export", str(consistent), str(tmp_path / "out"), "--quiet"]) == 0
    found = run_example(tmp_path / "out", TEXTS[:2])
    wanted = load(consistent).predict(TEXTS[:2])
    assert [sorted(name for name, _ in row) for row in found] == [
        sorted(row) for row in wanted
    ]


def test_labels_near_their_parents_and_contrast_are_learned(zoo, taxonomy, tmp_path):
    distances = []
    for number, weight in enumerate((1e-6, 10.0)):
        config = settings(zoo, taxonomy, "regularised")
        own = HierarchyConfig(kind="regularised", weight=weight)
        fit(dataclasses.replace(config, hierarchy=own), tmp_path / str(number))
        model = load(tmp_path / str(number))
        vectors = np.asarray(model.label_side[0])
        pairs = model.label_space.parent_pairs()
        distances.append(((vectors[pairs[:, 0]] - vectors[pairs[:, 1]]) ** 2).sum())
    assert distances[1] < 0.2 * distances[0]
    fit(settings(zoo, taxonomy, "contrast"), tmp_path / "contrast", progress=False)
    assert load(tmp_path / "contrast").decision.consistent is False


def test_labels_receive_from_parents_and_children(zoo, taxonomy, tmp_path):
    config = settings(zoo, taxonomy, "graph")
    fit(config, tmp_path / "run", progress=False)
    model = load(tmp_path / "run")
    graph = model.params["label_graph"]
    assert {"sender_gate_0", "sender_bias_0", "sender_gate_1"} <= set(graph)
    assert np.abs(graph["sender_bias_0"]).max() > 0  # learned
    assert model.config.graph.initialisation == "taxonomy"
    assert model.decision.consistent is False


def test_edges_of_a_hierarchy_have_the_share_of_a_parent_that_is_its_child():
    # wheat (0) and corn (1) under grain (2) under goods (3); documents are not closed.
    pairs = np.array([[0, 2], [1, 2], [2, 3]])
    sets = csr_array(np.array([[1, 0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]))
    edges = hierarchy_edges(pairs, sets)
    found = {
        (int(r), int(s)): float(w)
        for r, s, w in zip(*(np.asarray(x) for x in edges), strict=True)
    }
    down = {(0, 2): 2 / 3, (1, 2): 1 / 3, (2, 3): 3 / 4}
    wanted = {**down, **{(s, r): 1 for r, s in down}, **{(n, n): 1 for n in range(4)}}
    assert found == pytest.approx(wanted)


def test_a_hierarchy_is_chosen_kept_and_said(zoo, taxonomy, tmp_path):
    said: list[str] = []
    place = tmp_path / "run"
    config = settings(zoo, taxonomy, "auto")
    fit(config, place, progress=False, say=said.append)
    [line] = [line for line in said if line.startswith("hierarchy: ")]
    found = json.loads((place / "results.json").read_text())["hierarchy_choice"]
    assert line.endswith(found["said"])
    assert set(found["gains"]) == {"consistent", "regularised", "contrast", "graph"}
    for gain in found["gains"].values():
        difference, low, high = gain["mean_f1"]
        assert low <= difference <= high and 0 <= gain["sure"] <= 1
    kept = json.loads((place / "structure.json").read_text())["hierarchy"]
    assert kept == found
    # A run that goes on does not choose again.
    problem = problem_of(config.resolved(), Workdir(place), None)
    assert (problem.hierarchy, problem.choice) == (kept, None)
    # What was chosen is what is restored, whatever it is.
    model = load(place)
    assert model.config.hierarchy.kind == found["kind"]
    kept["kind"] = "consistent"
    (place / "structure.json").write_text(json.dumps({"hierarchy": kept}))
    (place / "manifest.json").unlink()
    assert load(place).classifier.parents is not None
    (place / "structure.json").write_text('{"hierarchy": {"kind": "odd"}}')
    with pytest.raises(ValueError, match="must say its kind, of none, consistent"):
        load(place)


def test_a_label_graph_of_the_taxonomy_can_be_what_is_chosen(
    zoo, taxonomy, tmp_path, monkeypatch
):
    def choose(*_, kinds, **__):
        assert kinds == KINDS
        return {"kind": "graph", "said": "'graph', told so", "gains": {}}

    monkeypatch.setattr("labelgraph_jax.runs.structure.choose_hierarchy", choose)
    config = settings(zoo, taxonomy, "auto")
    fit(config, tmp_path / "run", progress=False)
    model = load(tmp_path / "run")
    assert "sender_gate_0" in model.params["label_graph"]
    assert model.config.graph.initialisation == "taxonomy"
    results = json.loads((tmp_path / "run" / "results.json").read_text())["test"]
    assert evaluate_workdir(tmp_path / "run")["test"] == results
    # Where another label graph is asked for, this one is not tried.
    own = dataclasses.replace(config.graph, attention="relu", role="multiplicative")
    assert "graph" not in kinds_of(dataclasses.replace(config, graph=own))


def test_a_hierarchy_that_helps_is_taken_and_one_that_does_not_is_left():
    rng = np.random.default_rng(0)
    # Six leaves that no word tells apart but their parent: the parent is the signal.
    parents = np.array([[i, 6 + i // 3] for i in range(6)])
    leaf = rng.integers(0, 6, 240)
    targets = np.eye(8)[leaf]
    targets[np.arange(240), 6 + leaf // 3] = 1
    vectors = rng.normal(size=(240, 30)) + 3 * rng.normal(size=(6, 30))[leaf]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = choose_hierarchy(vectors.astype(np.float32), targets, parents)
    assert found["kind"] in KINDS and set(found["gains"]) == set(KINDS) - {"none"}
    # Labels under a parent that they have nothing to do with.
    wrong = targets.copy()
    wrong[:, 6:] = rng.random((240, 2)) < 0.5
    found = choose_hierarchy(vectors.astype(np.float32), wrong, parents)
    assert found["kind"] != "consistent"
    assert found["gains"]["consistent"]["mean_f1"][0] <= 0
    with pytest.raises(ValueError, match="at least 20 training documents"):
        choose_hierarchy(vectors[:5].astype(np.float32), targets[:5], parents)


def test_closed_targets_are_a_task_of_their_own(zoo, taxonomy, tmp_path, capsys):
    said: list[str] = []
    config = settings(zoo, taxonomy, "consistent", taxonomy_targets="closed")
    fit(config, tmp_path / "run", progress=False, say=said.append)
    model = load(tmp_path / "run")
    assert "goods" in model.labels  # a node that no document carries itself
    results = json.loads((tmp_path / "run" / "results.json").read_text())["test"]
    assert results["metrics"]["taxonomy_violations_in_truth"] == 0
    assert results["hierarchy"]["violations_per_1000"] == 0
    assert evaluate_workdir(tmp_path / "run")["test"] == results
    again = evaluate_workdir(tmp_path / "run", data=str(zoo.data.test))["test"]
    assert again["metrics"] == results["metrics"]
    assert not any("says little" in line for line in said)


def test_a_hierarchy_that_documents_do_not_follow_is_said(zoo, tmp_path):
    path = tmp_path / "taxonomy.tsv"
    path.write_text("Root\tgrain\tship\noil\tcorn\twheat\n", encoding="utf-8")
    said: list[str] = []
    fit(
        settings(zoo, path, "regularised"),
        tmp_path / "run",
        progress=False,
        say=said.append,
    )
    [line] = [line for line in said if "says little of these documents" in line]
    assert "only " in line and "%" in line


def test_the_contrast_by_overlap_says_what_it_learns_from(zoo, tmp_path):
    base = tiny_config(zoo.data, training={"epochs": 2, "batch_size": 8})
    config = dataclasses.replace(base, loss=LossConfig(contrast=0.5))
    said: list[str] = []
    fit(config, tmp_path / "run", progress=False, say=said.append)
    [line] = [line for line in said if "share some labels but not all" in line]
    assert 0 < float(line.split(": ")[1].partition("%")[0]) < 100
    assert line.endswith("; 248 documents of earlier steps join each batch")
    plain = tmp_path / "plain"
    fit(base, plain, progress=False)
    ours, theirs = (load(tmp_path / name).params for name in ("run", "plain"))
    assert any(
        not np.array_equal(one, other)
        for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True)
    )


def test_documents_are_closed_upwards_on_any_dag():
    parents = {"a": ("b", "c"), "b": ("d",), "c": ("d",)}
    documents = [Document("1", "x", ("a", "e")), Document("2", "y", ("b",))]
    closed = closed_documents(documents, parents)
    assert [d.labels for d in closed] == [("a", "e", "b", "c", "d"), ("b", "d")]
    sets = csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]]))
    assert closed_share(sets, np.array([[0, 1]])) == 0.5
    assert closed_share(sets, np.zeros((0, 2), int)) == 1


def test_levels_and_constrained_f1_are_those_of_loops():
    rng = np.random.default_rng(0)
    ancestors = np.zeros((4, 4), bool)
    ancestors[1, 0] = ancestors[2, 0] = ancestors[3, [0, 2]] = True
    decided, truth = rng.random((2, 30, 4)) < 0.5
    allowed = decided.copy()
    for m in range(30):
        for n in range(4):
            allowed[m, n] &= all(decided[m, a] for a in np.flatnonzero(ancestors[n]))
    found = hierarchy_results(decided, truth, ancestors)

    def f1(chosen, right):
        return 2 * (chosen & right).sum() / max(chosen.sum() + right.sum(), 1)

    wrong = (decided & ~allowed).sum() / decided.sum()
    np.testing.assert_allclose(found["violations_per_1000"], 1000 * wrong)
    np.testing.assert_allclose(found["constrained_micro_f1"], f1(allowed, truth))
    each = [f1(allowed[:, n], truth[:, n]) for n in range(4)]
    np.testing.assert_allclose(found["constrained_macro_f1"], np.mean(each))
    for level, columns in zip(found["levels"], ([0], [1, 2], [3]), strict=True):
        value = f1(decided[:, columns], truth[:, columns])
        np.testing.assert_allclose(level["micro_f1"], value)
        assert level["labels"] == len(columns)


def test_a_taxonomy_is_told_and_wrong_ones_are_one_line(
    zoo, taxonomy, tmp_path, capsys
):
    data = ["--data", str(zoo.data.data)]
    assert run(["data", "taxonomy", str(taxonomy), *data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 nodes, 5 edges, no cycle; 5 labels in the documents")
    assert lines[1] == "1 with several parents: oil"
    assert "of the labels below another stand on a document" in lines[-1]
    path = tmp_path / "wrong.tsv"
    for text, options, says in (
        ("a\tcorn\ncorn\ta\n", [], "must have no cycle; this line closes"),
        (DAG, ["--taxonomy-shape", "tree"], "a label has one parent; 'oil' stands"),
        ("grian\twhaet\n", [], "some name must be a label"),
    ):
        path.write_text(text, encoding="utf-8")
        assert run(["data", "taxonomy", str(path), *data, *options]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    # Above the labels stands what no document carries.
    path.write_text("crops\tcorn\twheat\tgrain\toil\tship\n", encoding="utf-8")
    assert run(["data", "taxonomy", str(path), *data]) == 0
    assert "no label lies above another" in capsys.readouterr().out.splitlines()[-1]
    own = ["--taxonomy", str(path), "--hierarchy.kind", "consistent"]
    assert run(["train", *data, *own, "--workdir", str(tmp_path / "run")]) == 2
    [*_, line] = capsys.readouterr().err.splitlines()
    assert "puts above them stands on no document; --taxonomy-targets" in line
    assert run(["data", "taxonomy", "auto", *data]) == 2
    assert "must have a taxonomy of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"hierarchy": HierarchyConfig(kind="consistent")}, "loss of its own"),
        ({"hierarchy": HierarchyConfig(kind="auto")}, "loss of its own"),
        (
            {"rules": RulesConfig(file="r.txt", kind="shield")},
            r"rules\.kind='shield' has a loss of its own",
        ),
        (
            {
                "hierarchy": HierarchyConfig(kind="graph"),
                "graph": GraphConfig(attention="relu", rank=0),
            },
            r"makes the label graph: .*graph\.attention='relu'",
        ),
        (
            {
                "hierarchy": HierarchyConfig(kind="graph"),
                "graph": GraphConfig(layers=0),
            },
            "got no layers",
        ),
        (
            {"hierarchy": HierarchyConfig(kind="contrast")},
            "head.kind must be 'product'",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(zoo, sections, message):
    config = tiny_config(zoo.data)
    other = {"loss": LossConfig(kind="focal")}
    if "vectors" in message or "product" in message:
        head = dataclasses.replace(config.head, kind="recurrent")
        other = {"head": head}
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(config, **other, **sections)
    with pytest.raises(ConfigError, match=r"weight is read only with"):
        HierarchyConfig(weight=1.0)


def test_a_label_that_the_file_lacks_is_refused_only_where_a_hierarchy_is_learned(
    zoo, tmp_path, capsys
):
    path, data = tmp_path / "taxonomy.tsv", ["--data", str(zoo.data.data)]
    path.write_text(DAG.replace("wheat", "whaet"), encoding="utf-8")
    train = ["train", *data, "--taxonomy", str(path), "--workdir", str(tmp_path / "a")]
    for kind in ("consistent", "regularised", "contrast"):
        assert run([*train, "--hierarchy.kind", kind]) == 2
        [*_, line] = capsys.readouterr().err.splitlines()
        assert f"{path}: --hierarchy.kind='{kind}' needs every label" in line
        assert "1 of 5 labels does not stand in it, such as 'wheat'" in line
        assert "did you mean 'whaet' there?" in line
    assert run(["data", "taxonomy", str(path), *data]) == 0
    assert "wheat" in capsys.readouterr().out
    labels = LabelSpace(("grain", "wheat"))
    own = dataclasses.replace(zoo.data, taxonomy=str(path))
    require_every_label(Config(data=own), labels)
    hierarchy = HierarchyConfig(kind="consistent")
    own = dataclasses.replace(zoo.data, taxonomy="auto")
    require_every_label(Config(data=own, hierarchy=hierarchy), labels)


def test_a_hierarchy_needs_a_taxonomy(zoo, capsys, tmp_path):
    data = ["--data", str(zoo.data.data), "--workdir", str(tmp_path / "run")]
    assert run(["train", *data, "--hierarchy.kind", "consistent"]) == 2
    assert "needs labels of which one lies above another" in capsys.readouterr().err
