"""Short names, a file without its option, and near misses, on every verb."""

import json
import re
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.arguments import spelled_out
from labelgraph_jax.cli.verbs import GROUPS, VERBS, named_verbs
from labelgraph_jax.config import ConfigError, DataConfig

TRAIN = named_verbs(["train"])[0]
NAMES = [
    [name, *inner]
    for name, part in VERBS.items()
    for inner in ([[i] for i in part] if isinstance(part, dict) else [[]])
]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mine.jsonl", "--data mine.jsonl"),
        ("--epochs 3", "--training.epochs 3"),
        ("--batch-size=4 --seed 1", "--training.batch-size=4 --training.seed 1"),
        ("--batch_size 4", "--training.batch-size 4"),
        ("--learning-rate 0.1", "--training.learning-rate 0.1"),
        ("--lr 0.1 mine.tsv", "--data mine.tsv --training.learning-rate 0.1"),
        ("--baseline a.csv --no-report", "--data a.csv --baseline --no-report"),
        ("--label-columns a b --workdir w", "--label-columns a b --workdir w"),
        ("--checkpoint-every 5 --mesh data=2", "--checkpoint-every 5 --mesh data=2"),
        ("--text.ngrams False f.jsonl", "--data f.jsonl --text.ngrams False"),
        ("-h", "-h"),
        ("--help", "--help"),
    ],
)
def test_short_names_and_a_file_are_spelled_out(typed: str, meant: str) -> None:
    assert spelled_out(TRAIN, "train", typed.split()) == meant.split()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("train --epocs 3", "train has no option --epocs; the nearest is "
         "--training.epochs (--epochs for short)"),
        ("train --training.epoch 3", "the nearest is --training.epochs"),
        ("train --workdri w", "no option --workdri; the nearest is --workdir"),
        ("train --layers 1", "--layers may be any of --text.layers, --graph.layers"),
        ("train --kind x", "--kind may be any of --head.kind, "),
        ("train a.jsonl b.jsonl", "train takes one file to train on; got a.jsonl, b"),
        ("train a.jsonl --data b.jsonl", "got a.jsonl beside --data"),
        ("predict runs/x --score", "predict has no option --score; the nearest is --"),
        ("evaluate runs/x --dta f", "the nearest is --data"),
        ("data stats f.csv --label-delimeter ;", "data stats has no option --label-"),
        ("labels add runs/x f --quite", "the nearest is --quiet"),
        ("serve runs/x --prot 1", "the nearest is --port"),
        ("report runs/x --qqqq", "`labelgraph report --help` lists its options"),
    ],
)  # fmt: skip
def test_an_option_that_a_verb_lacks_is_told_the_nearest_of_all(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert told in err


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_every_option_that_help_shows_is_known_and_its_misspelling_is_told(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*names, "--help"])
    said = capsys.readouterr().out
    shown = re.findall(r"^(?:│ |  )(--[a-z][\w.-]*)", said, re.MULTILINE)
    (verb,) = named_verbs(names)
    for option in set(shown) - {"--help"}:
        assert spelled_out(verb, names[-1], [f"{option}=1"]) == [f"{option}=1"]
        wrong = option[:-1] + option[-1] * 2
        with pytest.raises(ConfigError, match=re.escape(option)):
            spelled_out(verb, names[-1], [wrong])
    assert shown or names[0] in (*GROUPS, "completion")


def test_a_run_is_trained_from_a_file_with_short_names(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    short = ["--epochs", "1", "--batch-size", "8", "--lr", "0.01", "--no-report"]
    typed = ["train", tiny_data.data, *short, "--quiet", "--workdir", str(place)]
    assert run([*typed, "--text.dim", "8", "--text.ngrams", "False"]) == 0
    config = json.loads((place / "config.json").read_text())
    assert config["data"]["data"] == str(Path(tiny_data.data).absolute())
    training = config["training"]
    assert (training["epochs"], training["batch_size"]) == (1, 8)
    assert training["learning_rate"] == 0.01
