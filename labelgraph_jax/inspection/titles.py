"""Titles of labels whose own name is a mere number."""

from labelgraph_jax.data.documents import LabelSpace


def title_of_number(name: str, labels: LabelSpace) -> str:
    """Return the title of a label whose name says nothing to a reader, else nothing."""
    if any(letter.isalpha() for letter in name):
        return ""
    return labels.descriptions.get(name, "").split(";")[0]


def titles_of_numbers(labels: LabelSpace) -> dict[str, str]:
    """Return the titles of all such labels that have one."""
    titles = {name: title_of_number(name, labels) for name in labels.descriptions}
    return {name: titles[name] for name in labels.names if titles.get(name)}
