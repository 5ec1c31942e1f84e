"""Starting a command over with huge pages."""

import subprocess
import sys

import pytest

from labelgraph_jax.cli.huge_pages import (
    TUNABLES,
    environment_with_huge_pages,
    start_over_with_huge_pages,
)

SHOW = (
    "import os, sys;"
    "from labelgraph_jax.cli.huge_pages import start_over_with_huge_pages;"
    "start_over_with_huge_pages(); print(os.environ.get('GLIBC_TUNABLES'), sys.argv[1])"
)


def test_glibc_gets_the_tunable_beside_what_was_there():
    assert environment_with_huge_pages({"A": "b"}, "glibc") == {
        "A": "b",
        TUNABLES: "glibc.malloc.hugetlb=1",
    }


def test_another_library_a_set_tunable_and_a_no_leave_the_process_alone():
    assert environment_with_huge_pages({}, "musl") is None
    assert environment_with_huge_pages({TUNABLES: "x"}, "glibc") is None
    assert environment_with_huge_pages({"LABELGRAPH_HUGE_PAGES": "0"}, "glibc") is None


@pytest.mark.process
def test_a_command_starts_over_once_and_keeps_its_arguments():
    done = subprocess.run(
        [sys.executable, "-c", SHOW, "an argument"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split(maxsplit=1)[1].strip() == "an argument"
    assert done.stdout.count("an argument") == 1


def test_a_command_that_cannot_start_over_goes_on_as_it_is(monkeypatch):
    def refuse(*_):
        raise OSError(7, "Argument list too long")

    held = []
    monkeypatch.setattr("os.execve", refuse)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2"))
    monkeypatch.delenv(TUNABLES, raising=False)
    monkeypatch.delenv("LABELGRAPH_HUGE_PAGES", raising=False)
    start_over_with_huge_pages(lambda: held.append(True))
    assert held == [True]
