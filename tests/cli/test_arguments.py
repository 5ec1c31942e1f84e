"""Short names, a file without its option, and near misses, on every verb."""

import json
import re
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.arguments import spelled_out
from labelgraph_jax.cli.commands.training import Train
from labelgraph_jax.cli.help_text import USUAL
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
        ("--bs 4 --val v.csv", "--training.batch-size 4 --validation v.csv"),
        ("--input a.csv --out w", "--data a.csv --workdir w"),
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
        ("train --kind x", "--kind may be any of --graph.kind, --head.kind, "),
        ("train a.jsonl b.jsonl", "train takes one file to train on; got a.jsonl, b"),
        ("train a.jsonl --data b.jsonl", "got a.jsonl beside --data"),
        ("predict runs/x --score", "predict has no option --score; the nearest is --"),
        ("evaluate runs/x --dta f", "the nearest is --data"),
        ("data stats f.csv --label-delimeter ;", "data stats has no option --label-"),
        ("labels add runs/x f --quite", "the nearest is --quiet"),
        ("agree a b --quiet", "agree says nothing but its result: --quiet has no effe"),
        ("doctor --quiet", "--quiet needs a WORKDIR"),
        ("serve runs/x --prot 1", "the nearest is --port"),
        ("report runs/x --qqqq", "`labelgraph report --help` lists its options"),
        ("train --gpu 1", "train has no option --gpu; none is near it; "),
        ("train --model bag", "no option --model; none is near it"),
        ("evaluate runs/x --task a", "no option --task; none is near it"),
        ("predict runs/x --input f", "no option --input; none is near it"),
        ("train --num-epochs 3", "the nearest is --training.epochs (--epochs for"),
        ("train -e 3", "train has no option -e; "),
    ],
)  # fmt: skip
def test_an_option_that_a_verb_lacks_is_told_the_nearest_of_all(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert told in err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("evaluate r m.csv", "evaluate takes WORKDIR; got m.csv besides (a file is "
         "given as --data FILE)"),
        ("predict r a b.csv", "predict takes WORKDIR and [FILE]; got b.csv besides"),
        ("data list x", "data list takes options alone; got x besides"),
        ("data stats", "data stats needs SOURCE: A file, or the name of a corpus"),
        ("graph --data no.csv", "no.csv: neither a file nor a corpus"),
        ("predict", "predict needs WORKDIR: Work directory of a finished run"),
        ("data", "data needs one of stats, validate, compare, export, taxonomy, list"),
        ("labels lst r", "'lst' is none of the verbs add, list, remove. Did you "),
        ("train --epochs", "--training.epochs needs a value; got none"),
        ("train --epochs --seed 1", "--training.epochs needs a value; got none"),
        ("train --seed x", "--training.seed must be a whole number; got 'x'"),
        ("train --lr=x", "--training.learning-rate must be None or a number; got 'x'"),
        ("serve r --port 80a", "--port must be a whole number; got '80a'"),
        ("train --text.encoder rnn", "invalid choice 'rnn' for argument '--text.enc"),
        ("train --label-columns labels", "--label-columns says how an own file is "
         "read: give --data too; got labels and the corpus stdlib_docs"),
    ],
)  # fmt: skip
def test_whatever_the_command_line_lacks_is_said_in_one_line(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed.split()) == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if "loading" not in line
    ]
    assert len(lines) == 1 and told in lines[0]


@pytest.mark.parametrize(
    ("verb", "typed", "meant"),
    [
        ("train", "--label-columns a b FILE", "--data FILE --label-columns a b"),
        ("train", "--label-columns a FILE --seed 1",
         "--data FILE --label-columns a --training.seed 1"),
        ("train", "--label-columns a FILE --data c", "--label-columns a FILE --data c"),
        ("train", "--label-columns FILE", "--label-columns FILE"),
        ("data stats", "--label-columns a FILE", "FILE --label-columns a"),
        ("data stats", "--data FILE --json", "FILE --json"),
        ("data validate", "--json --data=FILE", "FILE --json"),
        ("predict", "r --label-columns a FILE", "r FILE --label-columns a"),
    ],
)  # fmt: skip
def test_a_file_is_known_as_one_behind_columns_and_behind_data(
    verb: str, typed: str, meant: str, tmp_path: Path
) -> None:
    file = tmp_path / "m.csv"
    file.write_text("text,a\n", encoding="utf-8")
    (cls,) = named_verbs(verb.split())
    typed, meant = typed.replace("FILE", str(file)), meant.replace("FILE", str(file))
    assert spelled_out(cls, verb, typed.split()) == meant.split()


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_every_option_that_help_shows_is_known_and_its_misspelling_is_told(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*names, "--help-all"])
    said = capsys.readouterr().out
    shown = re.findall(r"^(?:│ |  )(--[a-z][\w.-]*)", said, re.MULTILINE)
    (verb,) = named_verbs(names)
    usual = {f"--{o.split()[0]}" for own in USUAL.values() for o in own}
    shown += usual if names == ["train"] else []
    for option in set(shown) - {"--help"}:
        # `data stats --data FILE` is `data stats FILE`.
        spelled = spelled_out(verb, names[-1], [f"{option}=1"])
        assert spelled in ([f"{option}=1"], ["1"])
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


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_problems_of_a_file_name_options_as_they_are_typed(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.csv"
    path.write_text("text,a,b\none,1,0\ntwo,x,0\nthree,1,z\nfour,0,1\n")
    assert run(["data", "validate", str(path), *form]) == 2
    said = capsys.readouterr().out
    assert "--label-columns" in said and "label_columns" not in said


def test_an_option_of_many_values_may_have_none() -> None:
    words = ["--mixture.towers", "--epochs", "3"]
    assert spelled_out(Train, "train", words) == [
        "--mixture.towers",
        "--training.epochs",
        "3",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --text 3", "near it are --text-column, --text.encoder, --text.vectors"),
        ("train --delimiter ;", "near it are --column-delimiter, --label-delimiter"),
        ("data stats f --label x", "near it are --label-columns, --label-delimiter"),
        (
            "predict run --column x",
            "--column-delimiter, --text-column, --label-columns",
        ),
        ("evaluate run --text x", "the nearest is --text-column"),
        ("train --text-columns x", "the nearest is --text-column"),
    ],
)
def test_a_word_of_several_options_is_told_them_all(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 2
    assert said in capsys.readouterr().err
