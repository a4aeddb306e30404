"""As command.py, of a program in which the code of TrainEBM has another version."""

from __future__ import annotations

import command

from pipelines import stage_process
from pipelines.tasks import TrainEBM

if __name__ == "__main__":
    TrainEBM.VERSION += 1
    stage_process.stage_command = command.fake_command
    command.cli.main()
