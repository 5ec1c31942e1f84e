"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and what it counts: "1 label", "1,200 labels".

    Example:
        >>> counted(1, "class", "classes"), counted(0, "training document")
        ('1 class', '0 training documents')

    Args:
        number: how many.
        noun: the word for one of them.
        plural: the word for several, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def of_them(number: int, total: int, noun: str, one: str, several: str) -> str:
    """Return how many of some things, and the verb: "1 of 3 texts is".

    Example:
        >>> of_them(1, 3, "text", "is", "are"), of_them(2, 3, "text", "is", "are")
        ('1 of 3 texts is', '2 of 3 texts are')

    Args:
        number: how many.
        total: of how many.
        noun: the word for one of them.
        one: the verb of one.
        several: the verb of several.
    """
    verb = one if number == 1 else several
    return f"{number:,} of {counted(total, noun)} {verb}"
