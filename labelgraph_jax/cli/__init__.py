"""The command line: one function a verb, terminal tables, exit codes.

Nothing is imported before it is needed, so that Ctrl-C works from the first moment.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run one verb; end the process with its exit code.

    Args:
        arguments: in place of what was typed.
    """
    if arguments is None:
        import gc
        import os
        import signal
        import sys

        # What is imported stays: it need not be looked through again and again.
        gc.set_threshold(100_000)
        # A stop while all is being loaded leaves nothing to tidy up.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        from labelgraph_jax.cli.huge_pages import start_over_with_huge_pages
        from labelgraph_jax.cli.interrupts import interrupts

        interrupts.begin("".join(sys.argv[1:2]))
        if sys.argv[1:2] in (["train"], ["evaluate"], ["predict"], ["serve"]):
            # Before all else is imported, which would be done twice.
            start_over_with_huge_pages(interrupts.hold)
    from labelgraph_jax.cli.app import main as start

    start(arguments)


def run(arguments: list[str]) -> int:
    """Run one verb and return its exit code.

    Args:
        arguments: what stands behind `labelgraph`.
    """
    from labelgraph_jax.cli.app import run as start

    return start(arguments)


__all__ = ["main", "run"]
