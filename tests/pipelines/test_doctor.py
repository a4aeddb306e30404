"""What the doctor finds, and what it says of what it cannot find."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.asking import doctor
from pipelines.commands.describing import machine_in_words


def test_this_machine_has_a_processor_and_the_digits(tmp_path: Path) -> None:
    found = doctor.examine(tmp_path / "not" / "yet")
    assert "CPU" in {device["type"] for device in found["devices"]}
    assert "digits" in found["datasets"]
    assert found["free_disk_mb"] > 0
    assert {"python", "tensorflow", "luigi"} <= set(found["versions"])


def test_what_cannot_be_found_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEVICES_PROGRAM", "raise SystemExit('no driver')")
    monkeypatch.setattr(doctor, "DATASETS_PROGRAM", "print('[]')")
    found = doctor.examine(tmp_path)
    assert found["devices"] == "no driver"
    assert found["datasets"] == []


def test_what_was_found_is_told_in_plain_words() -> None:
    found = {
        "versions": {"python": "3.11"},
        "host": "Linux",
        "cores": 2,
        "devices": [{"type": "CPU", "name": "/physical_device:CPU:0"}],
        "free_disk_mb": 7,
        "datasets": {"digits": "CC BY 4.0"},
        "weights": {"TrainEBM": [], "TrainFeatureExtractor": ["a1", "b2"]},
    }
    assert dict(machine_in_words(found)) == {
        "python version": "3.11",
        "host": "Linux",
        "cores": 2,
        "devices": "CPU:0",
        "free disk": "7 MiB",
        "data set digits": "licence: CC BY 4.0",
        "artifacts of TrainEBM": "none",
        "artifacts of TrainFeatureExtractor": "a1, b2",
    }
    told = dict(machine_in_words({**found, "devices": "no driver", "datasets": "no answer"}))
    assert (told["devices"], told["data sets"]) == ("no driver", "no answer")
