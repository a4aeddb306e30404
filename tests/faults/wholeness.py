"""Whether all that a root holds is whole, judged without the pipeline's own code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def finished(root: Path) -> list[Path]:
    """The folders that pass for finished artifacts."""
    return sorted(path for path in (root / "artifacts").glob("*/*") if not path.name.startswith("."))


def faults(root: Path) -> list[str]:
    """What is wrong with the finished artifacts, file by file; empty when nothing is."""
    return [f"{folder}: {fault}" for folder in finished(root) for fault in _faults_of(folder)]


def _faults_of(folder: Path) -> list[str]:
    try:
        listed = json.loads((folder / "params.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        return [f"params.json: {error}"]
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del there["params.json"]
    odd = [f"{name} is listed and not there" for name in sorted(set(listed) - set(there))]
    odd += [f"{name} is there and not listed" for name in sorted(set(there) - set(listed))]
    for name in sorted(set(listed) & set(there)):
        if hashlib.sha256(there[name].read_bytes()).hexdigest() != listed[name]["sha256"]:
            odd.append(f"{name} is not what was published")
    return odd


def contents(root: Path) -> dict[str, str]:
    """The content digest of each finished artifact, by task and fingerprint."""
    return {
        f"{folder.parent.name}/{folder.name}": json.loads((folder / "params.json").read_text())["content"]
        for folder in finished(root)
    }
