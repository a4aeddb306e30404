"""What a result was made with: versions, revision, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "tensorflow-addons",
    "keras-cv",
    "luigi",
    "numpy",
    "scikit-learn",
    "pydantic",
)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The version of Python and of each installed library that results depend on."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def git_revision() -> str | None:
    """The commit of this code, with "-dirty" when files differ from it; None outside a repository."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def host() -> str:
    """The machine, as one line."""
    return platform.platform()
