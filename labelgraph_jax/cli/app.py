"""`labelgraph`: train, evaluate, predict and look at data, from a terminal.

What each exit code means stands in `help_text.EXIT_CODES`, which `labelgraph --help`
prints. A command that was stopped goes on when it is run again.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import itertools
import logging
import os
import shlex
import sys
import textwrap
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tyro

from labelgraph_jax.cli import errors, help_text
from labelgraph_jax.cli.arguments import refusal, spelled_out
from labelgraph_jax.cli.commands.training import Train
from labelgraph_jax.cli.interrupts import ENDED_WELL, interrupts
from labelgraph_jax.cli.output import remarks, say, write
from labelgraph_jax.cli.streams import (
    Guarded,
    OutputLostError,
    fill_standard_descriptors,
    guarded,
)
from labelgraph_jax.cli.verbs import (
    VERBS,
    makes_something,
    named_verbs,
    union_of_verbs,
)
from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.files import Start, starting_point
from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.files import cache_folder


def main(arguments: list[str] | None = None) -> None:
    """Run one verb; end the process with its exit code."""
    is_command = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if is_command:
        interrupts.begin("".join(arguments[:1]))
        fill_standard_descriptors()
        keep_compiled_programs()
        errors.tell_of_threads()
        interrupts.ready()
        interrupts.watch()
    if _starts_several(os.environ, arguments):
        _keep_stdout_for_results()
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # as the last line was said
        os._exit(130)
    if is_command:
        interrupts.end(code)
        # The interpreter would look through all that was imported for garbage.
        gc.freeze()
        if code in (130, 143) and not _is_of_several_processes():
            # Stopped: nothing is waited for that a thread still does.
            os._exit(code)
    # A stop was agreed on by all processes, an error was not.
    if code not in (0, 130) and "jax" in sys.modules:
        from labelgraph_jax.training.hosts import leave

        leave(code)
    sys.exit(code)


def keep_compiled_programs() -> None:
    """Let JAX keep what it compiles from one command to the next, unless told not to.

    In `compiled/` beside the cached encodings, 2 GiB at most, the oldest going first;
    LABELGRAPH_COMPILATION_CACHE=0 says no, and JAX_COMPILATION_CACHE_DIR names another
    folder. JAX reads these variables when it is imported.
    """
    if os.environ.get("LABELGRAPH_COMPILATION_CACHE") == "0":
        return
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        try:
            folder = cache_folder("compiled")
        except ValueError:  # nobody's home
            return
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2 << 30))
    # Also the many small programs of a start: without them it takes twice as long.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    forget_half_written_programs(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]))


def forget_half_written_programs(folder: Path) -> None:
    """Delete what a killed process left of a program: its bytes without their time.

    JAX reads the times of all programs before it keeps another one, and of one that
    has none it warns at each program that it compiles from then on.
    """
    with contextlib.suppress(OSError):
        found = {entry.name for entry in os.scandir(folder)}
        for name in found:
            stem = name.removesuffix("-cache")
            if name != stem and f"{stem}-atime" not in found:
                (folder / name).unlink(missing_ok=True)


def run(arguments: list[str]) -> int:
    """Run one verb and return its exit code.

    Whatever goes wrong becomes one line on standard error; set LABELGRAPH_TRACEBACK=1
    to see where it came from.
    """
    # What Orbax's threads log is raised as well, and then said in one line.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    with guarded() as output:
        code = _run(arguments)
        output.settle()
        if output.lost is None:
            return code
        if isinstance(output.lost, BrokenPipeError):
            # Whoever read our output went away (`labelgraph predict ... | head`).
            return (code or 141) if output.needed else code
        reason = getattr(output.lost, "strerror", None) or output.lost
        say(f"labelgraph: error: standard output: cannot be written: {reason}")
        return code or 2


def _run(arguments: list[str]) -> int:
    """The exit code of a verb, once what it raises has been said in one line."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _dispatch(arguments)
    except KeyboardInterrupt as stopped:
        # A StoppedError says where; SIGTERM is a scheduler's, and no failure.
        agreed = hasattr(stopped, "where")
        goes_on = arguments[:1] == ["train"]
        going_on = f"; go on with `{command(arguments)}`" if goes_on else ""
        say(f"labelgraph: {str(stopped) or 'stopped'}{going_on}")
        if not agreed and _is_of_several_processes():
            os._exit(130)
        if getattr(stopped, "by", "") != "SIGTERM":
            return 130
        return 0 if "".join(arguments[:1]) in ENDED_WELL else 143
    except OutputLostError:
        return 0
    except SystemExit as error:
        # From the parser of the command line, which has said why.
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 2
    except BaseException as error:  # a panic of Rust is no Exception
        if os.environ.get("LABELGRAPH_TRACEBACK"):
            raise
        if _says_that_a_process_is_lost(error):
            return _tell_of_a_lost_process(error)
        code, line = errors.in_one_line(error, arguments)
        say(f"labelgraph: error: {line}")
        return code


def _is_of_several_processes() -> bool:
    if "jax" not in sys.modules:
        return False
    import jax

    return bool(jax.distributed.is_initialized())


_SIGNS_OF_LOSS = ("CoordinationService", "Gloo", "barrier", "heartbeat", "UNAVAILABLE")


def _says_that_a_process_is_lost(error: BaseException) -> bool:
    """Return True if an error is JAX's or Orbax's way to say that a process is gone."""
    if not _is_of_several_processes():
        return False
    signs = any(sign in str(error) for sign in _SIGNS_OF_LOSS)
    return signs or (
        isinstance(error, RuntimeError) and not isinstance(error, (ValueError, OSError))
    )


def _tell_of_a_lost_process(error: BaseException) -> int:
    say(
        "labelgraph: error: another process of this run has died, or cannot be "
        f"reached: {errors.message(error)[:300]}; run the command again, on every "
        "worker, to go on from the last checkpoint"
    )
    return 3


def _starts_several(environment: Mapping[str, str], arguments: list[str]) -> bool:
    """Return True if this process seems to be one of several of a run."""
    counts = ("LABELGRAPH_PROCESSES", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
    return "--processes" in arguments or any(
        environment.get(name, "1") != "1" for name in counts
    )


def _keep_stdout_for_results() -> None:
    """Send what libraries print about connections to standard error."""
    if sys.stdout is None:
        return
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"labelgraph: warning: {errors.message(message)}")


def command(arguments: list[str]) -> str:
    """Return what was typed, to be copied into a shell."""
    return shlex.join(["labelgraph", *arguments])


def _table_tasks(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments without every `--task COLUMN=KIND`, and these tasks."""
    rest: list[str] = []
    tasks: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--task" and left and "=" in left[0]:
            tasks.append(left.pop(0))
        elif argument.startswith("--task=") and argument.count("=") > 1:
            tasks.append(argument.removeprefix("--task="))
        else:
            rest.append(argument)
    return rest, tasks


def _starting_point(arguments: list[str], default: str) -> Start:
    """The settings that --preset or --config of `train` names, or a default preset."""
    chosen = {"--preset": "", "--config": ""}
    for word, after in itertools.pairwise([*arguments, ""]):
        option, equals, value = word.partition("=")
        if option in chosen:
            chosen[option] = value if equals else after
    return starting_point(chosen["--preset"], chosen["--config"], default)


def _versions() -> str:
    """This program, JAX and what JAX computes on: what a bug report needs."""
    import jax

    from labelgraph_jax import __version__

    devices = jax.devices()
    kinds = sorted({f"{d.platform}:{d.device_kind}" for d in devices})
    return f"labelgraph {__version__}, jax {jax.__version__}, {', '.join(kinds)}"


def _dispatch(arguments: list[str]) -> int:
    # The version, and the help of someone who typed nothing more.
    if arguments in (["--version"], ["-V"]):
        write(_versions())
        return 0
    if not arguments:
        with contextlib.suppress(SystemExit):
            _parse(Config(), ["--help"])
        return 2
    # Names of verbs are checked, tasks of a table and short names spelled out.
    start = Start(Config())
    tasks: list[str] = []
    of_tables = (["data", "stats"], ["data", "validate"])
    if arguments[:1] == ["train"] or arguments[:2] in of_tables:
        arguments, tasks = _table_tasks(arguments)
    _check_name(arguments[0], VERBS)
    inner = VERBS.get(arguments[0])
    if isinstance(inner, dict):
        if not arguments[1:]:
            raise ConfigError(f"{arguments[0]} needs one of {', '.join(inner)}")
        _check_name(arguments[1], inner)
    arguments = _spelled_out(arguments)
    # Training begins from a preset or a file of settings.
    if arguments[:1] == ["train"]:
        start = _starting_point(arguments[1:], "table" if tasks else "default")
    arguments = arguments + (["--table.tasks", *tasks] if tasks else [])
    if arguments[:1] == ["train"] and {"-h", "--help"} & set(arguments):
        _write_usual_options(start.config)
        return 0
    arguments = ["--help" if word == "--help-all" else word for word in arguments]
    # Parse, and refuse settings that have no effect.
    verb = _parse(start.config, arguments)
    if isinstance(verb, Train):
        for remark in start.remarks:
            remarks(verb.quiet)(f"labelgraph: {verb.config}: {remark}")
        start.refuse_idle(verb.settings())
    # Where the result goes to standard output alone, that must be open.
    if isinstance(sys.stdout, Guarded):
        sys.stdout.needed = not makes_something(verb)
        if sys.stdout.needed and sys.stdout.is_closed:
            give = ": give --output" if hasattr(verb, "output") else ""
            raise ConfigError(f"standard output must be open; it is closed{give}")
    from labelgraph_jax.training.progress import shown

    # Say what begins, then do it.
    if "jax" not in sys.modules and not _starts_several(os.environ, arguments):
        _announce(verb)
    silent = getattr(verb, "quiet", False) or getattr(verb, "json", False)
    with shown(not silent):
        return int(verb.execute())


def _write_usual_options(start: Config) -> None:
    """The help of `train`: the options that people use, and where the others stand."""
    write("usage: labelgraph train [FILE] [OPTIONS]\n")
    intro = inspect.cleandoc(Train.__doc__ or "").partition("Examples:")[0]
    for paragraph in intro.strip().split("\n\n"):
        write(textwrap.fill(paragraph, 80) + "\n")
    write("\n".join(help_text.usual_options(start)[1:]))
    write("\nall options: labelgraph train --help-all\n")
    write("\n".join(help_text.closing_lines([Train], all_verbs=False)))


def _spelled_out(arguments: list[str]) -> list[str]:
    """The same with every option in the parser's words."""
    named, names = named_verbs(arguments), 1 + isinstance(VERBS.get(arguments[0]), dict)
    if len(named) != 1:
        return arguments  # a group without its verb, or help about all
    name, rest = arguments[:names], arguments[names:]
    return name + spelled_out(named[0], " ".join(name), rest)


def _announce(verb: object) -> None:
    """Say what begins, before JAX is imported, which takes seconds.

    Verbs that only read a run say so on a terminal alone.
    """
    if getattr(verb, "quiet", False):
        return
    if isinstance(verb, Train):
        source = verb.data.data or verb.data.corpus
        say(f"labelgraph: training on {source} in {verb.workdir}: loading JAX")
    elif hasattr(verb, "workdir") and sys.stderr.isatty():
        say(f"labelgraph: loading {verb.workdir}")


def _check_name(name: str, verbs: Collection[str]) -> None:
    """Raise ConfigError with the nearest name where a word is no verb."""
    if name.startswith("-") or name in verbs:
        return
    nearest = nearest_names(name, verbs)
    meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(f"{name!r} is none of the verbs {', '.join(verbs)}.{meant}")


def _parse(start: Config, arguments: list[str]) -> Any:
    """The verb that the arguments name, with its options.

    Raises:
        ConfigError: options that contradict each other or lie out of range; the parser
            would say so in a box that names its own parts.
    """
    said = io.StringIO()
    helps = bool({"-h", "--help"} & set(arguments))
    union = union_of_verbs(start, brief=helps)
    named = named_verbs(arguments)
    if helps and len(named) == 1:
        union = union_of_verbs(start)
        help_text.join_paragraphs(named[0])
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                union,
                args=arguments,
                prog="labelgraph",
                description="Multi-label text classification in which the labels "
                "form a graph.",
            )
    except SystemExit as end:
        cause: BaseException | None = end
        while cause is not None:
            if isinstance(cause, ConfigError):
                raise cause from None
            cause = cause.__context__
        if end.code:
            raise ConfigError(refusal(said.getvalue(), arguments)) from None
        sys.stderr.write(said.getvalue())
        if helps and not end.code:
            everything = arguments[0].startswith("-")
            lines = help_text.closing_lines(named, all_verbs=everything)
            write("\n".join(lines))
        raise


if __name__ == "__main__":
    main()
