"""Programs that measure: how they answer, and how one has another answer, in a process of its own.

A program prints its answer on standard output, as tables or, with --json, as one object; all else that is said goes
to standard error, what libraries print among it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, TextIO

from benchmarks.tables import NOTE_OF_MARK, Table
from ebm_tf.errors import EBMError
from ebm_tf.stages.context import claim_stdout

REPOSITORY = Path(__file__).resolve().parent.parent
Say = Callable[[str], None]
"""Is given lines for people."""


def to_stderr(line: str) -> None:
    """A line for people."""
    print(line, file=sys.stderr, flush=True)


def parser(name: str, about: Optional[str]) -> argparse.ArgumentParser:
    """Of the program `benchmarks.NAME`, with --json; `about` is its docstring."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return made


def run(
    options: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    tables: Callable[[dict[str, Any]], Sequence[Table]],
) -> None:
    """Measure and answer; what stands in the way ends the program with one line and its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    channel = claim_stdout()
    try:
        found = measure(options)
    except EBMError as error:
        to_stderr(f"error: {error}")
        sys.exit(error.exit_code)
    if options.json:
        print(json.dumps(found), file=channel, flush=True)
    else:
        show(tables(found), channel)


def show(tables: Sequence[Table], channel: TextIO) -> None:
    """Tables for a terminal, each after its title and what it compares."""
    from rich.console import Console

    from pipelines.commands.display import table

    console = Console(file=channel, highlight=False, markup=False)
    for each in tables:
        console.print(f"{each.title}\n{each.comparison}", style="bold")
        console.print(table(each.headings, each.rows))
        console.print(NOTE_OF_MARK if each.marked else "")


def ours(module: str, *arguments: object) -> list[str]:
    """The command line of a program of `benchmarks`, whose answer is asked for as JSON."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments), "--json"]


def answer(
    command: Sequence[object],
    say: Say = to_stderr,
    environment: Optional[Mapping[str, str]] = None,
    folder: Path = REPOSITORY,
) -> dict[str, Any]:
    """The one JSON object that a program prints.

    Args:
        say: is given what the program says on standard error, line by line.
        environment: variables besides those of this process.
        folder: in which it runs.

    Raises:
        EBMError: it ended otherwise than with 0, or printed no such object; with the last line that it said.
    """
    parts = [str(part) for part in command]
    last = "nothing"
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(
            parts,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})},
        ) as program:
            assert program.stderr is not None
            for line in map(str.strip, program.stderr):
                if line:
                    last = line
                    say(line)
        output.seek(0)
        printed = output.read()
    named = " ".join(Path(part).name if os.sep in part else part for part in parts)
    if program.returncode:
        raise EBMError(f"{named} ended with {program.returncode}; its last words: {last}")
    try:
        found: dict[str, Any] = json.loads(printed)
    except ValueError as error:
        raise EBMError(f"{named} printed no JSON object: {printed[:200]!r}") from error
    return found
