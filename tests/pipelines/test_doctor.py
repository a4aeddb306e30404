"""What the doctor finds, and what it says of what it cannot find."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.asking import doctor


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
