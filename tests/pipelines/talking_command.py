"""As command.py, with a stage that says "first", and "second" once there is a file "go" beside control.json."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import command
from fake_stage import end_with_parent

from pipelines import stage_process


def talking_command(name: str, spec: Path, output: Path) -> list[str]:
    """In place of `stage_process.stage_command`."""
    return [sys.executable, __file__, "--stage", str(output)]


def talk(output: Path) -> None:
    end_with_parent()
    print("first", flush=True)
    while not Path(os.environ["FAKE_STAGES"]).with_name("go").exists():
        time.sleep(0.02)
    print("second", flush=True)
    (output / "data.txt").write_text("content")


if __name__ == "__main__":
    if sys.argv[1] == "--stage":
        talk(Path(sys.argv[2]))
    else:
        stage_process.stage_command = talking_command
        command.cli.main()
