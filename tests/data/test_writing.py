"""Writing systems by name, and how a document is cut."""

# ruff: noqa: RUF001 (other scripts have letters that look like Latin ones)

import pytest

from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.data.statistics import corpus_statistics
from labelgraph_jax.data.writing import SYMBOLS, script_of, scripts


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("aéß", "Latin"),
        ("中々", "Han"),
        ("ひ", "Hiragana"),
        ("カー", "Katakana"),
        ("한", "Hangul"),
        ("हि"[0], "Devanagari"),
        ("ท", "Thai"),
        ("ع", "Arabic"),
        ("👍★", SYMBOLS),
        ("1 .+-\u200d", ""),
    ],
)
def test_a_letter_belongs_to_a_writing_system(characters: str, name: str) -> None:
    assert {script_of(c) for c in characters} == {name}


def test_scripts_are_told_with_their_share_the_most_frequent_first() -> None:
    assert scripts(["abc 中", "ＡＢ 中👍"]) == {
        "Latin": 5 / 8,
        "Han": 2 / 8,
        SYMBOLS: 1 / 8,
    }
    assert scripts(["12 34", ""]) == {}


def test_statistics_show_three_documents_as_they_are_cut() -> None:
    texts = ["C++ 我们", "two words", "हिन्दी", "four"]
    documents = tuple(Document(f"d{i}", t, ("a",)) for i, t in enumerate(texts))
    found = corpus_statistics(Corpus("mine", train=documents))
    assert [cut.id for cut in found.cut] == ["d0", "d1", "d2"]
    assert found.cut[0].words == ("c++", "我", "们")
    assert found.cut[1].tokens == 2 + 1 + (3 + 2 + 1) + (5 + 4 + 3)
    assert list(found.scripts) == ["Latin", "Devanagari", "Han"]
    assert found.to_json()["cut"][2]["words"] == ["हिन्दी"]
