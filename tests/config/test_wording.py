"""Numbers in sentences."""

import pytest

from labelgraph_jax.config.wording import counted


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
