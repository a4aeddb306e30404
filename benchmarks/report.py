"""RESULTS.md and RESULTS.png from results.json, in which every figure stands that was measured.

`python -m benchmarks.report` writes both again, without measuring.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import (
    backprop,
    first_version,
    limit,
    machine,
    memory,
    parts,
    programs,
    scaling,
    yardstick,
)
from benchmarks.tables import Table
from ebm_tf.errors import EBMError, MissingInput

RESULTS, TEXT, FIGURE = "results.json", "RESULTS.md", "RESULTS.png"
TABLES: dict[str, Callable[[dict[str, Any]], list[Table]]] = {
    "yardstick": yardstick.tables,
    "first_version": first_version.tables,
    "parts": parts.tables,
    "limit": limit.tables,
    "limit_bfloat16": limit.tables,
    "scaling": scaling.tables,
    "backprop": backprop.tables,
    "memory": memory.tables,
}
OPENING = """# Results of the benchmarks

Written by `make bench`; the programs are listed in [README.md](README.md), and every figure is in `results.json`.
Ratios are of runs that took turns in one call, and hold roughly on like machines; milliseconds hold on this one
alone.

![Ratios, and how time grows](RESULTS.png)
"""


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        MissingInput: there is none, or it is damaged.
    """
    path = folder / RESULTS
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(results["sections"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingInput(f"cannot read {path} ({error}); make it by python -m benchmarks") from error
    return results


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Write results.json, RESULTS.md and RESULTS.png, each whole or not at all."""
    from benchmarks.figure import save

    _replace(
        folder / RESULTS, lambda path: path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    )
    _replace(folder / TEXT, lambda path: path.write_text(as_markdown(results), encoding="utf-8"))
    _replace(folder / FIGURE, lambda path: save(results, path))


def as_markdown(results: Mapping[str, Any]) -> str:
    """The whole report: each section's machine and date where they are not those of the others, then its tables."""
    sections = results["sections"]
    told, lines = None, [OPENING]
    for name in TABLES:
        if name not in sections:
            continue
        section = sections[name]
        circumstances = _circumstances(section)
        if circumstances != told:
            lines += [circumstances, ""]
            told = circumstances
        if "failed" in section:
            lines += [f"## {name}", "", f"Not measured: {section['failed']}", ""]
            continue
        lines += [part for table in TABLES[name](section["found"]) for part in (table.as_markdown(), "")]
    return "\n".join(lines).rstrip() + "\n"


def _circumstances(section: Mapping[str, Any]) -> str:
    """Machine, versions, revision, day and care of a section, as one paragraph."""
    made = section["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    revision = made["revision"] or "not known"
    short = revision[:12] + ("-dirty" if revision.endswith("-dirty") else "")
    quick = " Measured with --quick: fewer and shorter runs." if section["quick"] else ""
    return (
        f"Measured on {made['date'][:10]} on {machine.in_words(made)}. Revision {short}; {versions}.{quick}"
    )


def _replace(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write a file beside its place, and put it there when it is whole."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    write_to(unfinished)
    unfinished.replace(path)


def main() -> None:
    """Write the report again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help=f"of {RESULTS}")
    folder = parser.parse_args().folder
    try:
        write(read(folder), folder)
    except EBMError as error:
        programs.to_stderr(f"error: {error}")
        raise SystemExit(error.exit_code) from None
    print(folder / TEXT)


if __name__ == "__main__":
    main()
