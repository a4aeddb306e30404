"""The errors that a user can cause or mend: one line each, with the exit code they end the program with."""

from __future__ import annotations


class EBMError(Exception):
    """A stage failed; the text is one line that says what was seen and what to do."""

    exit_code = 3


class ConfigError(EBMError):
    """A setting, task or option is unknown or impossible."""

    exit_code = 2


class MissingInput(EBMError):
    """A file, folder, artifact, disk space or permission that the work needs is not there."""

    exit_code = 4


class Busy(EBMError):
    """Another process is building the same artifact."""

    exit_code = 5
