"""Large arrays in huge pages, where the C library is glibc.

Between two steps glibc hands the memory of large arrays back to the kernel, which then
maps it anew, 4 KiB at a time: a fifth to a third of a training step on a CPU. With its
tunable `glibc.malloc.hugetlb=1` the memory comes in pages of 2 MiB. It is read when a
process starts, so the command starts itself over, once.
"""

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Mapping

TUNABLES = "GLIBC_TUNABLES"
SWITCH = "LABELGRAPH_HUGE_PAGES"


def environment_with_huge_pages(
    environment: Mapping[str, str], libc: str
) -> dict[str, str] | None:
    """The environment to start over in, or None to stay in this one.

    A person's own `GLIBC_TUNABLES` is left as it is, and LABELGRAPH_HUGE_PAGES=0 says
    no.

    Args:
        environment: the process's own.
        libc: name of the C library, as `platform.libc_ver` gives it.
    """
    if libc != "glibc" or TUNABLES in environment or environment.get(SWITCH) == "0":
        return None
    return {**environment, TUNABLES: "glibc.malloc.hugetlb=1"}


def start_over_with_huge_pages(hold: Callable[[], None] = lambda: None) -> None:
    """Replace this process by the same command with huge pages, where that helps.

    Args:
        hold: keeps signals back that come before the command has started over.
    """
    environment = environment_with_huge_pages(os.environ, platform.libc_ver()[0])
    if environment is not None and sys.executable:
        hold()
        with contextlib.suppress(OSError):  # too much of an environment, for one
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
