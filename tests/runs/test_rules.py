"""Rules of a run: obeyed, counted, carried along, and what is said against them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import ConfigError, RulesConfig, ThresholdConfig
from labelgraph_jax.data.labels.label_rules import LabelRules, parse_rule
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from tests.deploy.test_export import run_example
from tests.tiny import tiny_config
from tests.zoo import Zoo

RULES = "corn -> grain\nwheat -> grain\n!(oil & grain)\n0.9: ship -> oil\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.txt"
    path.write_text(RULES, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ruled(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that obeys rules; their file is gone."""
    folder = tmp_path_factory.mktemp("ruled")
    path = folder / "rules.txt"
    path.write_text(RULES, encoding="utf-8")
    config = tiny_config(zoo.data, training={"epochs": 4, "batch_size": 8})
    config = dataclasses.replace(config, rules=RulesConfig(file=str(path)))
    fit(config, folder / "run", progress=False)
    path.unlink()
    return folder / "run"


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_labels_of_a_run_obey_its_hard_rules_and_results_count(ruled: Path):
    found = json.loads((ruled / "results.json").read_text())["test"]["rules"]
    assert (found["rules"], found["hard"], found["obeyed"]) == (4, 3, True)
    soft = [rule for rule in found["per_rule"] if rule["rule"].startswith("0.9")]
    broken = sum(rule["violations"] for rule in soft)
    assert found["violations"] == broken > 0
    assert found["without_rules"] >= found["violations"]
    assert found["in_truth"] > 0
    again = evaluate_workdir(ruled)["test"]
    assert again["rules"] == found


def test_a_prediction_names_the_rule_that_changed_a_label(
    ruled: Path, capsys, tmp_path
):
    texts = tmp_path / "new.txt"
    texts.write_text("barrel crude harvest silo\nmaize cob\n", encoding="utf-8")
    rows = [
        json.loads(line)
        for line in printed(["predict", str(ruled), str(texts)], capsys)
    ]
    model = load(ruled)
    for row in rows:
        labels = set(row["labels"])
        assert not {"oil", "grain"} <= labels
        assert "grain" in labels or not labels & {"corn", "wheat"}
    plain = model.with_decision(dataclasses.replace(model.decision, obeys=False))
    texts_read = ["barrel crude harvest silo", "maize cob"]
    for row, before in zip(rows, plain.predict(texts_read), strict=True):
        changed = {one["label"]: one for one in row.get("rules", ())}
        assert set(changed) == set(before) ^ set(row["labels"])
        for label, one in changed.items():
            assert one["change"] == ("removed" if label in before else "added")
            assert one["rule"] in RULES


def test_rules_of_a_file_take_the_place_of_those_of_the_run(zoo, rules, capsys):
    trained = zoo("bag")
    before = evaluate_workdir(trained)["test"]
    for kind, obeyed in (("decode", True), ("report", False)):
        own = RulesConfig(file=str(rules), kind=kind)
        found = evaluate_workdir(trained, rules=own)["test"]
        assert found["rules"]["obeyed"] is obeyed
        assert (found["metrics"] == before["metrics"]) is not obeyed or obeyed
    assert "rules" not in before
    line = printed(["evaluate", str(trained), "--rules", str(rules), "--json"], capsys)
    assert json.loads("".join(line))["test"]["rules"]["obeyed"]


def test_an_export_obeys_the_rules_as_well(ruled: Path, tmp_path: Path):
    out = tmp_path / "exported"
    assert run(["export", str(ruled), str(out), "--quiet"]) == 0
    texts = ["barrel crude harvest silo", "maize cob today", "flour bread barrel"]
    found = [[name for name, _ in row] for row in run_example(out, texts)]
    assert found == load(ruled).predict(texts)
    assert json.loads((out / "rules.json").read_text())["rules"][0] == "corn -> grain"
    script, card = ((out / n).read_text() for n in ("load_example.py", "README.md"))
    assert "# Labels obey 3 rules, which rules.json names." in script
    assert "labels come that obey the rules of rules.json" in card


def test_an_export_says_that_its_rules_change_no_label(zoo, rules, tmp_path):
    config = tiny_config(zoo.data, training={"epochs": 1})
    own = RulesConfig(file=str(rules), kind="report")
    fit(dataclasses.replace(config, rules=own), tmp_path / "run", progress=False)
    out = tmp_path / "exported"
    assert run(["export", str(tmp_path / "run"), str(out), "--quiet"]) == 0
    assert "# 4 rules change no label here" in (out / "load_example.py").read_text()
    assert not (out / "rules.json").exists()


@pytest.fixture(scope="module")
def shielded(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose last layer obeys rules; their file is gone."""
    folder = tmp_path_factory.mktemp("shielded")
    path = folder / "rules.txt"
    path.write_text(RULES, encoding="utf-8")
    config = tiny_config(zoo.data, training={"epochs": 4, "batch_size": 8})
    own = RulesConfig(file=str(path), kind="shield")
    fit(dataclasses.replace(config, rules=own), folder / "run", progress=False)
    path.unlink()
    return folder / "run"


TEXTS = ["barrel crude harvest silo", "maize cob today", "flour bread barrel"]


def test_a_shielded_network_obeys_by_construction_and_at_any_threshold(shielded):
    model = load(shielded)
    p = model.predict_proba(TEXTS)
    column = {name: p[:, i] for i, name in enumerate(model.labels)}
    assert (column["grain"] >= np.maximum(column["corn"], column["wheat"])).all()
    assert ((column["grain"] > 0.5) & (column["oil"] > 0.5)).sum() == 0
    results = json.loads((shielded / "results.json").read_text())["test"]
    assert results["rules"]["obeyed"] and results["decision"]["kind"]
    hard = [r for r in results["rules"]["per_rule"] if not r["rule"].startswith("0.9")]
    assert sum(rule["violations"] for rule in hard) == 0
    assert evaluate_workdir(shielded)["test"] == results
    rng = np.random.default_rng(0)
    clauses = model.decision.hard_rules.clauses
    for _ in range(20):
        cut = rng.uniform(0.05, 0.95, len(model.labels))
        decision = dataclasses.replace(model.decision, thresholds=cut)
        decided = decision.decide(rng.random((200, len(cut))))
        assert not len(lg.functional.broken_rules(decided, clauses)[0])


def test_a_shielded_prediction_names_rules_and_an_export_decides_alike(
    shielded, capsys, tmp_path
):
    texts = tmp_path / "new.txt"
    texts.write_text("\n".join(TEXTS), encoding="utf-8")
    lines = printed(["predict", str(shielded), str(texts)], capsys)
    changes = [one for line in lines for one in json.loads(line).get("rules", ())]
    assert changes and {one["change"] for one in changes} <= {"raised", "lowered"}
    assert all(one["rule"] in RULES for one in changes)
    out = tmp_path / "exported"
    assert run(["export", str(shielded), str(out), "--quiet"]) == 0
    found = [sorted(name for name, _ in row) for row in run_example(out, TEXTS)]
    assert found == [sorted(row) for row in load(shielded).predict(TEXTS)]


def test_a_damaged_file_of_the_last_layer_is_named(shielded, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(shielded, copy)
    (copy / "structure.json").write_text('{"shield": ["corn -> grian"]}')
    with pytest.raises(WorkdirError, match=r"structure.json.*'grian' is none of"):
        load(copy)


def test_the_loss_of_rules_makes_breaking_them_rarer(zoo, tmp_path):
    path = tmp_path / "rules.txt"
    path.write_text("!(grain & wheat)\n", encoding="utf-8")
    base = tiny_config(zoo.data, training={"epochs": 6, "batch_size": 8})
    together = []
    for number, weight in enumerate((1e-3, 30.0)):
        own = RulesConfig(file=str(path), kind="loss", weight=weight)
        config = dataclasses.replace(base, rules=own)
        fit(config, tmp_path / str(number), progress=False)
        model = load(tmp_path / str(number))
        p = model.predict_proba(["flour bread harvest silo"] * 2)
        names = model.labels
        together.append(float(p[0, names.index("grain")] * p[0, names.index("wheat")]))
        assert not model.decision.obeys
    assert together[1] < 0.5 * together[0]


def test_rules_are_checked_against_documents_and_a_run(zoo, ruled, rules, capsys):
    data = ["--data", str(zoo.data.data)]
    lines = printed(["rules", "check", str(rules), *data], capsys)
    assert lines[0] == "3 hard rules and 1 soft one over 5 labels: no contradiction"
    assert "broken by some of" in lines[1]
    assert any("!(oil & grain)" in line and "(d" in line for line in lines[2:])
    assert printed(["rules", "check", str(ruled)], capsys)[0] == lines[0]
    rules.write_text("corn -> oil\ncorn -> ship\n!(oil & ship)\n", encoding="utf-8")
    lines = printed(["rules", "check", str(rules), *data], capsys)
    assert lines[1] == "never true where all hard rules are obeyed: corn"


def test_mined_rules_are_soft_and_can_be_checked(zoo, tmp_path, capsys):
    out = tmp_path / "mined.txt"
    options = ["--least-support", "5", "--least-bound", "0.5", "--out", str(out)]
    printed(["rules", "mine", str(zoo.data.data), *options], capsys)
    lines = [x for x in out.read_text().splitlines() if not x.startswith("#")]
    assert any("corn -> grain" in line for line in lines)
    assert all(0 < float(line.partition(":")[0]) < 1 for line in lines)
    found = printed(
        ["rules", "check", str(out), "--data", str(zoo.data.data), "--json"], capsys
    )
    assert json.loads("".join(found))["hard"] == 0
    on_run = printed(["rules", "mine", str(zoo("bag")), *options[:4], "--json"], capsys)
    assert {m["rule"] for m in json.loads("".join(on_run))} >= {"corn -> grain"}


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("corn -> grian", [], "rules.txt:1: 'grian' is none of the 5 labels; did you"),
        (
            "one-of(corn, oil)\none-of(oil, ship)\n!(oil & corn)\noil -> wheat\n"
            "!(wheat & oil)\ncorn -> oil\nship -> corn",
            [],
            "no set of labels obeys these rules together",
        ),
        ("0.9: corn -> grain", ["--rules.kind", "decode"], "needs a hard rule"),
        ("0.9: corn -> grain", ["--rules.kind", "shield"], "needs a hard rule"),
        ("corn -> grain", ["--rules.kind", "loss"], "is of training"),
        ("corn -> grain", ["--rules.weight", "0"], "rules.weight must be positive"),
    ],
)
def test_bad_rules_are_one_line_and_exit_code_two(
    zoo, rules, capsys, text, options, says
):
    rules.write_text(text, encoding="utf-8")
    arguments = ["evaluate", str(zoo("bag")), "--rules", str(rules), *options]
    assert run(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says.replace("rules.weight", "--rules.weight") in line or says in line


def test_settings_that_exclude_each_other_are_refused(zoo):
    config = tiny_config(zoo.data)
    with pytest.raises(ConfigError, match=r"rules\.file and threshold\.consistent"):
        dataclasses.replace(
            config,
            rules=RulesConfig(file="rules.txt"),
            threshold=ThresholdConfig(consistent=True),
        )
    with pytest.raises(ConfigError, match=r"read only with rules\.file"):
        RulesConfig(kind="decode")
    assert run(["rules", "check", str(zoo("bag"))]) == 2
    assert run(["rules", "check", "absent.txt"]) == 2


def test_a_decision_of_the_best_labels_obeys_too():
    names = ("a", "b", "c")
    rules = LabelRules((parse_rule("!(a & b)", ""),), names)
    top = Decision(
        kind="top_k", k=2, thresholds=np.full(3, 0.5), rules=rules, obeys=True
    )
    decided = top.decide(np.array([[0.4, 0.3, 0.1], [0.9, 0.1, 0.8]]))
    assert decided.tolist() == [[True, False, False], [True, False, True]]
    assert top.changes(np.array([[0.4, 0.3, 0.1]])) == [[(1, "removed", "!(a & b)")]]
    top = dataclasses.replace(top, shielded=True)
    assert top.decide(np.array([[0.3, 0.4, 0.1]])).tolist() == [[True, False, False]]
