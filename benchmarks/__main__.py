"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`.

Each has a process of its own. Their figures come into results.json, RESULTS.md and RESULTS.png, beside the programs;
what failed is said there, and the others go on. With --only, some are measured again, and the figures of the others
stay. The machine should be idle: a table marks rows whose laps differ widely. Nothing is written before the end.
"""

from __future__ import annotations

import argparse
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
    "first_version": Section("first_version", (), ("--rounds", 1, "--steps", 100), (150, 40)),
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
    parser.add_argument("--quick", action="store_true", help="a quarter of the time, and rougher figures")
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
    try:
        sections = {} if options.only is None else report.read(options.folder)["sections"]
    except MissingInput:  # nothing to be kept
        sections = {}
    options.folder.mkdir(parents=True, exist_ok=True)
    sections.update(_measured(names, options))
    results = {"sections": {name: sections[name] for name in SECTIONS if name in sections}}
    report.write(results, options.folder)
    failed = {name: sections[name]["failed"] for name in names if "failed" in sections[name]}
    for name, problem in failed.items():
        programs.to_stderr(f"error: {name} was not measured: {problem}")
    print(_json(results, failed) if options.json else options.folder / report.TEXT, file=channel, flush=True)
    return 3 if failed else 0


def _measured(names: list[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What each section found, or why it did not."""
    expected = {name: SECTIONS[name].seconds[options.quick] for name in names}
    begun, found = time.monotonic(), {}
    for number, name in enumerate(names):
        left = remaining(expected, number, time.monotonic() - begun)
        programs.to_stderr(f"[{number + 1}/{len(names)}] {name}; about {duration(left)} left")
        section: dict[str, Any] = {"machine": machine.described(), "quick": options.quick}
        try:
            section["found"] = programs.answer(
                command_of(name, options),
                say=lambda line: programs.to_stderr(f"    {line}") if _ours(line) else None,
            )
        except EBMError as error:
            section["failed"] = str(error)
        found[name] = section
    programs.to_stderr(f"done in {duration(time.monotonic() - begun)}")
    return found


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


def _ours(line: str) -> bool:
    """Whether a program of ours said it, rather than a library, which begins with a date or names its file."""
    return not (line[:2].isdigit() or "tensorflow" in line or "TensorFlow" in line)


def _json(results: dict[str, Any], failed: dict[str, str]) -> str:
    import json

    status, code = ("failed", 3) if failed else ("done", 0)
    return json.dumps({"status": status, "exit_code": code, **results})


if __name__ == "__main__":
    sys.exit(main())
