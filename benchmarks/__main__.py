"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`.

Each has a process of its own. Its figures come into results.json, RESULTS.md and RESULTS.png, beside the programs, as
soon as they are there, with their date; until then those of an earlier run stay, so that one that is cut off loses
nothing. What failed is said there, and the others go on. With --only, some are measured again. The machine should be
idle: a table marks rows whose laps differ widely.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from benchmarks import machine, programs, report
from ebm_tf.errors import EBMError, MissingInput
from pipelines.asking.times import duration


class Section(NamedTuple):
    """A program, its arguments in full and in short, and about how many seconds either takes on two cores."""

    program: str
    full: tuple[object, ...]
    short: tuple[object, ...]
    seconds: tuple[float, float]


SECTIONS = {
    "yardstick": Section("yardstick", ("--rounds", 3), ("--rounds", 1, "--iters", 2), (330, 90)),
    "first_version": Section("first_version", (), ("--rounds", 1, "--steps", 100), (330, 40)),
    "parts": Section("parts", (), ("--rounds", 3), (150, 80)),
    "limit": Section("limit", (), ("--rounds", 2), (40, 25)),
    "limit_bfloat16": Section(
        "limit", ("--precision", "bfloat16"), ("--precision", "bfloat16", "--rounds", 2), (40, 25)
    ),
    "scaling": Section("scaling", (), ("--rounds", 1, "--filters", 16, "--batch", 16), (240, 90)),
    "backprop": Section("backprop", (), ("--rounds", 2), (50, 25)),
    "memory": Section(
        "memory", (), ("--width", 0.25, "--iterations", 500, "--training-steps", 100), (220, 80)
    ),
}


def parsed(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, rougher figures")
    parser.add_argument(
        "--only", nargs="+", choices=[*SECTIONS], help="measure these, keep the others' figures"
    )
    parser.add_argument(
        "--yardstick-python", type=Path, help="interpreter that has torch; by default one is made"
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="of the three files")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object, too")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, write and say where; 3 if something failed."""
    options = parsed()
    channel = programs.claim_stdout()
    names = [name for name in SECTIONS if options.only is None or name in options.only]
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        results = _measured(names, options)
    except MissingInput as error:
        programs.to_stderr(f"error: {error}")
        return error.exit_code
    sections = results["sections"]
    failed = {name: sections[name]["failed"] for name in names if "failed" in sections[name]}
    for name, problem in failed.items():
        programs.to_stderr(f"error: {name} was not measured: {problem}")
    print(_json(results, failed) if options.json else options.folder / report.TEXT, file=channel, flush=True)
    return 3 if failed else 0


def _measured(names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Measure sections and write each, with those of an earlier run; returns what is written in the end.

    Raises:
        MissingInput: the figures of an earlier run are there and cannot be read.
    """
    known = report.read(options.folder)["sections"] if (options.folder / report.RESULTS).exists() else {}
    expected = {name: SECTIONS[name].seconds[options.quick] for name in names}
    begun, results = time.monotonic(), {"sections": known}
    for number, name in enumerate(names):
        left = remaining(expected, number, time.monotonic() - begun)
        programs.to_stderr(f"[{number + 1}/{len(names)}] {name}; about {duration(left)} left")
        known[name] = _section(name, options)
        results = {"sections": {each: known[each] for each in SECTIONS if each in known}}
        report.write(results, options.folder)
    programs.to_stderr(f"done in {duration(time.monotonic() - begun)}")
    return results


def _section(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a section found, or why it did not; with the machine and the date."""
    section: dict[str, Any] = {"machine": machine.described(), "quick": options.quick}
    try:
        section["found"] = programs.answer(command_of(name, options), _say_ours)
    except EBMError as error:
        section["failed"] = str(error)
    return section


def _say_ours(line: str) -> None:
    """Tell what a program of ours says; lines of libraries begin with a date or name TensorFlow."""
    if not line[:2].isdigit() and "tensorflow" not in line.lower():
        programs.to_stderr(f"    {line}")


def command_of(name: str, options: argparse.Namespace) -> list[str]:
    """The command line of a section."""
    section = SECTIONS[name]
    arguments = section.short if options.quick else section.full
    if section.program == "yardstick" and options.yardstick_python is not None:
        arguments = (*arguments, "--yardstick-python", options.yardstick_python)
    return programs.ours(section.program, *arguments)


def remaining(expected: dict[str, float], done: int, seconds: float) -> float:
    """Seconds that are left, if the others keep the pace of the sections that are done."""
    times = list(expected.values())
    pace = seconds / sum(times[:done]) if done else 1.0
    return pace * sum(times[done:])


def _json(results: dict[str, Any], failed: dict[str, str]) -> str:
    status, code = ("failed", 3) if failed else ("done", 0)
    return json.dumps({"status": status, "exit_code": code, **results})


if __name__ == "__main__":
    sys.exit(main())
