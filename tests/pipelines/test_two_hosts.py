"""Two machines, played by network namespaces, at one scheduler and one shared root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.pipelines.conftest import COMMAND
from tests.pipelines.served import served

TASKS = [
    "BaselineStatistics", "EvaluateFID", "GenerateSamples", "PrepareDataset", "ReferenceStatistics", "TrainEBM",
    "TrainFeatureExtractor",
]  # fmt: skip


class Host(NamedTuple):
    """A machine: its address, and what a command is to begin with in order to run there."""

    address: str
    inside: tuple[str, ...]


def ip(*arguments: str) -> None:
    """Let the command `ip` do something."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two network namespaces with a cable between them, and no way out."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    names = [f"ebm{os.getpid()}{end}" for end in "ab"]
    made = [Host(f"10.213.7.{number}", ("ip", "netns", "exec", name)) for number, name in enumerate(names, 1)]
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip(
                "link",
                "add",
                "cable",
                "netns",
                names[0],
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                names[1],
            )
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        for name, host in zip(names, made):
            ip("-n", name, "addr", "add", f"{host.address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        yield made
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def start(lab: Any, inside: tuple[str, ...], scheduler: str, root: Path) -> subprocess.Popen[str]:
    """A run on a machine."""
    task = ("--task", "EvaluateFID", "--workers", "2", "--json")
    where = ("--config", str(lab.config), "--root", str(root), "--scheduler", scheduler)
    process = subprocess.Popen(
        [*inside, sys.executable, str(COMMAND), "run", *task, *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FAKE_STAGES": str(lab.folder / "control.json")},
    )
    lab.started.append(process)
    return process


def exit_codes(runs: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """How runs end, with what they say of it."""
    answers = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    return [(answer["exit_code"], answer["error"] or "") for answer in answers]


def test_two_machines_build_each_task_once(lab: Any, hosts: list[Host]) -> None:
    first, second = hosts
    with served(lab.folder / "central", "--host", first.address, inside=first.inside) as central:
        assert "has no authentication" in central.said.read_text()
        scheduler = f"{first.address}:{central.port}"
        assert exit_codes([start(lab, host.inside, scheduler, lab.root) for host in hosts]) == [(0, "")] * 2
        assert sorted(lab.calls()) == TASKS
        seen = {path: path.stat().st_mtime_ns for path in (lab.root / "artifacts").rglob("*")}
        elsewhere = lab.folder / "elsewhere"
        assert exit_codes([start(lab, second.inside, scheduler, elsewhere)]) == [(0, "")]
        assert sorted(lab.calls()) == TASKS
        assert {path: path.stat().st_mtime_ns for path in (lab.root / "artifacts").rglob("*")} == seen


@pytest.mark.slow
def test_two_workers_build_each_task_once(lab: Any) -> None:
    with served(lab.folder / "central") as central:
        roots = [lab.root, lab.root, lab.folder / "elsewhere"]
        assert exit_codes([start(lab, (), central.address, root) for root in roots]) == [(0, "")] * 3
    assert sorted(lab.calls()) == sorted([*TASKS, *TASKS])
