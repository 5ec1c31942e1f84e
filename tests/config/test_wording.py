"""Numbers in sentences."""

import pytest

from labelgraph_jax.config.wording import counted, of_them


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
