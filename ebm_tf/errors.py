"""The errors that a user can cause or mend: one line each, with the exit code they end the program with."""

from __future__ import annotations

import errno
import os
import re

OF_A_GRAPH = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\]$")
"""Where TensorFlow met an error, as it puts it around what the error is."""
NO_PLACE = "<stack traces unavailable>\n"
"""What TensorFlow puts there where a graph was loaded, and nobody knows."""
ROOTS = re.compile(r"^\d+ root error\(s\) found\.\s+\(0\) ")
"""What TensorFlow puts before the first of several errors."""


class EBMError(Exception):
    """A stage failed; the text is one line that says what was seen and what to do."""

    exit_code = 3


class ChainsDiverged(EBMError):
    """Langevin chains ended in pixels that are not numbers."""


class ConfigError(EBMError):
    """A setting, task or option is unknown or impossible."""

    exit_code = 2


class MissingInput(EBMError):
    """A file, folder, artifact, disk space or permission that the work needs is not there."""

    exit_code = 4


class Busy(EBMError):
    """Another process is building the same artifact."""

    exit_code = 5


def as_one_line(error: Exception) -> EBMError:
    """Any error as one of these, which it is already or which names its kind and the first line of its text."""
    if isinstance(error, EBMError):
        return error
    first = OF_A_GRAPH.sub("", _first_line(str(error).strip() or "no message"))
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in first:
        return MissingInput(f"the disk is full, make room and run again ({first})")
    return EBMError(f"{type(error).__name__}: {first}")


def _first_line(text: str) -> str:
    """Of what TensorFlow says of a graph: where in the program its operations come from stands before that."""
    if text.startswith("Graph execution error:"):
        text = text.rpartition("\n\n")[2].rpartition(NO_PLACE)[2].lstrip()
        text = ROOTS.sub("", text)
    return text.splitlines()[0]
