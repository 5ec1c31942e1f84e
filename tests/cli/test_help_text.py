"""Every verb says what it does, shows how it is typed, and fits a terminal."""

import shlex
from typing import Any

import pytest

from labelgraph_jax.cli import app as cli
from labelgraph_jax.cli import help_text
from labelgraph_jax.cli.verbs import VERBS, named_verbs
from labelgraph_jax.config import Config


def paths(verbs: dict[str, Any]) -> list[list[str]]:
    """What is typed to reach each verb: `[["train"], ["data", "stats"], ...]`."""
    found = []
    for name, part in verbs.items():
        rests = paths(part) if isinstance(part, dict) else [[]]
        found += [[name, *rest] for rest in rests]
    return found


@pytest.mark.parametrize("path", paths(VERBS), ids=" ".join)
def test_the_help_of_a_verb_ends_with_examples_that_begin_as_the_verb_does(
    path: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    examples = shown.split("\nexamples:\n")[1].splitlines()
    assert any(" ".join(["labelgraph", *path]) in line for line in examples)


@pytest.mark.parametrize("path", paths(VERBS), ids=" ".join)
def test_every_example_is_a_command_that_the_parser_takes(path: list[str]) -> None:
    (verb,) = named_verbs(path)
    lines = "\n".join(help_text.examples(verb)).replace("\\\n", " ").splitlines()
    assert lines
    for line in lines:
        for command in line.split(" && "):
            words = shlex.split(command.split(" > ")[0].split(" | ")[-1])
            if "labelgraph" not in words:
                assert words[0] in ("python", "curl", "kill"), line
                continue
            words = words[words.index("labelgraph") + 1 :]
            words, tasks = cli._table_tasks(cli._spelled_out(words))
            start = Config()
            if "mine.json" not in words:
                start = cli._starting_point(words, "default").config
            parsed = cli._parse(
                start, words + (["--table.tasks", *tasks] if tasks else [])
            )
            assert type(parsed) in named_verbs([])


def test_the_help_of_train_shows_the_options_that_people_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  --")]) <= 35
    assert len(lines) <= 90
    headings = [line.strip(":") for line in lines if line.startswith("my ")]
    assert headings == ["my data", "my model", "my machine", "my time"]
    (seed,) = (line for line in lines if "--training.seed" in line)
    assert seed.endswith("(0)")
    assert cli.run(["train", "--help-all"]) == 0
    everything = capsys.readouterr().out
    assert "--graph.negative-slope" in everything
    assert "--graph.negative-slope" not in "".join(lines)


def test_the_help_of_train_shows_the_values_of_a_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["train", "--preset", "fast-contextual", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Passes over the training documents (30)" in shown
    assert "random, file, pretrained, static (static)" in shown


def test_every_verb_can_be_executed() -> None:
    assert all(callable(verb.execute) for verb in named_verbs([]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [[], ["data"], *paths(VERBS)], ids=" ".join)
def test_the_boxes_and_examples_of_the_help_fit_eighty_columns(
    path: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    # Boxes have no lines where the output is not called utf-8.
    boxed = [line for line in shown.splitlines() if line[:1] in tuple("╭│╰ ")]
    examples = shown.split("\nexamples:\n")[1].splitlines()
    assert len(boxed) > 3
    assert max(map(len, boxed + examples)) <= 84


def test_the_help_of_all_names_every_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for code, meaning in help_text.EXIT_CODES.items():
        assert f"{code:<4} {meaning}" in shown


def test_without_a_verb_the_help_is_shown_and_the_exit_code_is_not_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run([]) == 2
    assert "labelgraph train --data mine.jsonl" in capsys.readouterr().out


def test_a_group_shows_the_examples_of_its_verbs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["labels", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "labelgraph labels add runs/mine new.jsonl" in shown
    assert "labelgraph labels remove runs/mine whaling" in shown
    assert "exit codes" not in shown


def test_a_mistyped_verb_is_answered_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["trian"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("labelgraph: error: 'trian' is none of the verbs train, ")
    assert said.endswith("Did you mean 'train'?\n")


def test_the_help_keeps_no_line_break_of_the_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.run(["predict", "--help"]) == 0
    assert "of a run over features LIBSVM; - reads" in capsys.readouterr().out


def test_no_colour_is_written_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["--help"], ["train", "--help"], ["train", "--nonsense"]):
        cli.run(arguments)
        captured = capsys.readouterr()
        assert "\x1b[" not in captured.out + captured.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_the_verbs(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "labelgraph" in script
    for name in ("train", "predict", "completion"):
        assert name in script


def test_a_shell_without_a_completion_script_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["completion", "cmd"]) == 2
    assert "Expected one of ('bash', 'zsh'" in capsys.readouterr().err


@pytest.mark.process
def test_bash_completes_a_verb_with_the_script(tmp_path: Any) -> None:
    import shutil
    import subprocess
    import sys

    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    command = [sys.executable, "-m", "labelgraph_jax", "completion", "bash"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    script = tmp_path / "labelgraph.bash"
    script.write_text(made.stdout)
    complete = (
        f"source {script}; COMP_WORDS=(labelgraph pre); COMP_CWORD=1; "
        "COMP_LINE='labelgraph pre'; COMP_POINT=14; "
        "f=$(complete -p labelgraph | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        '"$f" labelgraph pre labelgraph; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(["bash", "-c", complete], capture_output=True, text=True)
    assert "predict" in ran.stdout.split(), ran.stderr
