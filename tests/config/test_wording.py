"""Numbers and names in sentences."""

import difflib
import time

import pytest

from labelgraph_jax.config.wording import counted, likeness, nearest_names, of_them


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (0, ("label",), "0 labels"),
        (1, ("label",), "1 label"),
        (2, ("label",), "2 labels"),
        (1234, ("training document",), "1,234 training documents"),
        (1, ("class", "classes"), "1 class"),
        (3, ("label does", "labels do"), "3 labels do"),
    ],
)
def test_one_is_singular_and_all_else_plural(number, words, expected):
    assert counted(number, *words) == expected


def test_the_verb_agrees_with_how_many_of_them_there_are() -> None:
    said = [of_them(n, 3, "text", "is", "are") for n in (0, 1, 2)]
    assert said == ["0 of 3 texts are", "1 of 3 texts is", "2 of 3 texts are"]
    assert of_them(1, 1, "text", "is", "are") == "1 of 1 text is"


def test_few_names_are_compared_as_difflib_does() -> None:
    known = ["corn", "wheat", "crude", "crop", "Corn oil"]
    for name in ("corm", "wheta", "xyz", "", "CORN", "crude" * 30):
        for cutoff in (0.0, 0.6):
            expected = difflib.get_close_matches(name[:100], known, 2, cutoff)
            assert nearest_names(name, known, count=2, cutoff=cutoff) == expected


def test_the_nearest_of_many_names_is_found() -> None:
    known = [f"subject {n} of {n * n}" for n in range(20_000)]
    assert nearest_names("subjct 777 of 603729", known) == ["subject 777 of 603729"]
    assert nearest_names("subject 777 of 60372", known, cutoff=0.0)[0][:11] == (
        "subject 777"
    )


@pytest.mark.parametrize("name", ["x" * 1_000_000, "", "word 5 word 7 " * 9])
def test_no_name_takes_long_among_any_number_of_long_names(name: str) -> None:
    known = [f"word {n} " * 40 for n in range(100_000)]
    start = time.process_time()
    assert len(nearest_names(name, known, cutoff=0.0)) == 1
    assert time.process_time() - start < 1.0


def test_long_names_are_told_apart_by_their_first_letters() -> None:
    long = "a" * 150
    assert nearest_names(long + "b", [long], cutoff=0.9) == [long]
    assert nearest_names(long, []) == []
    assert likeness(long, long + "z" * 10**6) == 1.0
