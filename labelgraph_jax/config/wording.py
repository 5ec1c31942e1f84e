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
