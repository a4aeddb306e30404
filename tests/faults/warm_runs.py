"""The command line with fake stages, in processes that are forked when everything is imported: run as a program.

Reads an order (a JSON object) per line: `argv`, `environment`, `output` (folder for stdout.txt and stderr.txt),
`below` (the folder whose steps count), `at` (number of the step to be hit at, or null), `signal`, `who` ("parent" or
"worker": in which process steps count). Answers with the process id and the return code. The steps themselves are
written, a line each, to steps.txt in `output`.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cli
import pipelines
from pipelines import stage_process
from tests.faults import steps
from tests.pipelines import command


def main() -> None:
    for module in pkgutil.walk_packages(pipelines.__path__, "pipelines."):
        importlib.import_module(module.name)
    stage_process.stage_command = command.fake_command
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
            cli.main()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"pid": child, "returncode": code}), flush=True)


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    output = Path(order["output"])
    for descriptor, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    sys.argv[1:] = order["argv"]
    told = os.open(output / "steps.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    steps.watch(order["below"], _counting(told, order["who"], order["at"], order["signal"]))


def _counting(told: int, who: str, at: Optional[int], number: int) -> steps.Act:
    """Tells each step, and at the step numbered `at` (from 0) sends the signal to this process."""
    count = 0

    def act(event: str, path: str) -> None:
        nonlocal count
        if who != ("worker" if multiprocessing.parent_process() else "parent"):
            return
        os.write(told, f"{event} {path}\n".encode())
        count += 1
        if count - 1 == at:
            os.kill(os.getpid(), number)

    return act


if __name__ == "__main__":
    main()
