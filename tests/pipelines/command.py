"""The command line with the fake stage in place of the real ones; run as a program by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cli
from pipelines import stage_process

FAKE_STAGE = Path(__file__).with_name("fake_stage.py")


def fake_command(name: str, spec: Path, output: Path) -> list[str]:
    """In place of `stage_process.stage_command`."""
    return [sys.executable, str(FAKE_STAGE), name, str(spec), str(output)]


if __name__ == "__main__":
    stage_process.stage_command = fake_command
    cli.main()
