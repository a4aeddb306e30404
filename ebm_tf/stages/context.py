"""What a stage is given, and how it speaks to the process that started it.

The specification is a JSON file: stage, fingerprint, settings (the slice of the experiment that the artifact depends
on, and no more), compute, inputs (task name to folder), work (a folder that outlives a kill). A stage speaks by JSON
lines on standard output; everything else that it prints goes to standard error, which the parent keeps as a log.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, TextIO

from ebm_tf import config_files
from ebm_tf.config import Compute, Section
from ebm_tf.errors import EBMError, MissingInput


@dataclass(frozen=True)
class Context:
    """One stage's world: what it may read, where it may write."""

    stage: str
    fingerprint: str
    settings: dict[str, Any]
    compute: Compute
    inputs: dict[str, Path]
    work: Path
    out: Path
    channel: TextIO

    @classmethod
    def read(cls, spec: Path, out: Path, channel: TextIO) -> Context:
        """From the specification that the pipeline wrote.

        Raises:
            MissingInput: the file or the output folder is not there.
        """
        try:
            values = json.loads(spec.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MissingInput(f"cannot read the specification {spec}: {error}") from error
        if not out.is_dir():
            raise MissingInput(f"the output folder {out} is not there")
        return cls(
            stage=values["stage"],
            fingerprint=values["fingerprint"],
            settings=values["settings"],
            compute=config_files.section("compute", values["compute"]),
            inputs={name: Path(folder) for name, folder in values["inputs"].items()},
            work=Path(values["work"]),
            out=out,
            channel=channel,
        )

    def section(self, name: str) -> Any:
        """The checked settings of one section; only those of the slice, so that a fingerprint leaves nothing out.

        Where the task declares single settings of the section, the others are no attributes of what is returned.
        """
        if name not in self.settings:
            raise EBMError(f"stage {self.stage} asked for settings {name!r}, which its task does not declare")
        given = self.settings[name]
        checked = config_files.section(name, given)
        if isinstance(checked, Section) and set(given) != set(type(checked).model_fields):
            return SimpleNamespace(**{key: getattr(checked, key) for key in given})
        return checked

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Tell how far the stage is."""
        self.say({"event": "progress", "done": done, "total": total, "message": message})

    def say(self, event: dict[str, Any]) -> None:
        """One JSON line to the parent."""
        say(self.channel, event)

    def end(self, error: EBMError) -> NoReturn:
        """Tell the parent of an error and end at once, whatever other threads do."""
        self.say(error_event(error))
        os._exit(error.exit_code)

    def write_json(self, name: str, values: Any) -> None:
        """A JSON file of the artifact."""
        (self.out / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def read_json(self, task: str, name: str) -> Any:
        """A JSON file of an input artifact.

        Raises:
            MissingInput: it is not there or not JSON.
        """
        path = self.inputs[task] / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MissingInput(f"cannot read {path}: {error}") from error


def say(channel: TextIO, event: dict[str, Any]) -> None:
    """One JSON line to who listens."""
    channel.write(json.dumps(event) + "\n")
    channel.flush()


def error_event(error: EBMError) -> dict[str, Any]:
    """What the parent is told of an error."""
    return {"event": "error", "message": str(error), "exit_code": error.exit_code}


def claim_stdout() -> TextIO:
    """Keep standard output for answers: whatever libraries print goes to standard error, native code included."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel
