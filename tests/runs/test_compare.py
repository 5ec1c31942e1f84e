"""Two sets of documents: planted words and labels are found, chance is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.runs.compare import compare, read_side
from tests.tiny import write_jsonl


def drawn(seed: int, count: int, *, moved: float = 0.0, share: float = 0.3):
    """Documents of 12 of 60 words; `moved` of them also say "novel", labels follow."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        words = [f"word{w}" for w in rng.choice(60, 12, replace=False)]
        if rng.random() < moved:
            words.append("novel")
        labels = ("grain",) if rng.random() < share else ("ship",)
        made.append(Document(f"{seed}-{i}", " ".join(words), labels))
    return made


def test_two_draws_of_one_distribution_are_not_told_apart():
    found = compare(drawn(1, 400), drawn(2, 500))
    assert not found.differs
    low, high = found.accuracy_interval
    assert low < 0.5 < found.accuracy + 0.06
    assert high - low < 0.1
    assert found.distance_interval[0] == 0
    assert (found.words, found.words_moved, found.labels_moved) == ((), 0, 0)
    assert found.words_compared == 60
    assert found.documents == (400, 500)


def test_a_planted_word_and_a_planted_label_are_named_with_their_shares():
    found = compare(drawn(1, 600), drawn(2, 600, moved=0.5, share=0.6))
    assert found.differs
    assert 0.65 < found.accuracy < 0.8  # half of one side says so: 0.75 at best
    assert found.distance == pytest.approx(2 * (2 * found.accuracy - 1))
    assert [word.name for word in found.words] == ["novel"]
    word = found.words[0]
    assert word.first == 0
    assert word.low < word.second - word.first < word.high
    assert {label.name for label in found.labels} == {"grain", "ship"}
    grain = next(label for label in found.labels if label.name == "grain")
    assert grain.low < 0.3 < grain.high


def test_equal_texts_on_both_sides_do_not_tell_them_apart():
    one = drawn(1, 60)
    found = compare(one * 3, one * 3)
    assert found.shared_texts == 60
    assert found.accuracy <= 0.5 + 0.1
    assert not found.differs


def test_labels_of_one_side_alone_are_named_and_unlabelled_texts_have_none():
    more = [*drawn(2, 40), Document("x", "word1 word2", ("oil", "ship"))]
    found = compare(drawn(1, 40), more)
    assert found.only_first == ()
    assert found.only_second == ("oil",)
    bare = [Document(d.id, d.text, ()) for d in drawn(3, 40)]
    found = compare(drawn(1, 40), bare)
    assert (found.labels_compared, found.only_first, found.only_second) == (0, (), ())


def test_a_side_of_few_texts_is_refused_by_name():
    with pytest.raises(
        DataError, match=r"new\.txt: a comparison needs at least 20 diff"
    ):
        compare(drawn(1, 40), drawn(2, 19) * 2, names=("old.txt", "new.txt"))


def test_texts_without_a_common_word_are_refused():
    sides = [[Document(f"{s}{i}", f"only{s}x{i}", ()) for i in range(20)] for s in "ab"]
    with pytest.raises(DataError, match="at least one word stands in two of them"):
        compare(*sides)


def test_the_command_tells_people_and_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.txt"
    documents = drawn(1, 80)
    write_jsonl(old, [{"text": d.text, "labels": list(d.labels)} for d in documents])
    new.write_text("\n".join(d.text for d in drawn(2, 80, moved=1.0)) + "\n")
    assert command(["data", "compare", str(old), str(new)]) == 0
    shown = capsys.readouterr()
    assert "old.jsonl: 80 documents; new.txt: 80 documents" in shown.out
    assert "They differ" in shown.out
    assert "novel" in shown.out
    assert "no label is on both sides" in shown.out
    assert "labels are not compared:" in shown.err
    assert command(["data", "compare", str(old), str(new), "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["differs"] is True
    assert told["words"][0]["name"] == "novel"


def test_what_is_no_text_or_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(["data", "compare", "absent.jsonl", "stdlib_docs"]) == 2
    assert "absent.jsonl: neither a file nor a corpus" in capsys.readouterr().err
    features = Features(np.zeros(1, np.int64), np.ones(1, np.float32))
    rows = {"train": (Document("0", "", (), features=features),)}
    monkeypatch.setattr(
        "labelgraph_jax.runs.compare.read_corpus",
        lambda config, split: type("Corpus", (), {"splits": rows}),
    )
    from labelgraph_jax.config import DataConfig

    with pytest.raises(DataError, match="must hold texts to be compared"):
        read_side(DataConfig(data="rows.svm"), print)
