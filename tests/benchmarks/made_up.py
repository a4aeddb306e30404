"""Results of benchmarks that nobody ran: what each program answers, in small round numbers."""

from __future__ import annotations

from typing import Any

MACHINE: dict[str, Any] = {
    "processor": "Imaginary 9000",
    "cores": 2,
    "vectors": ["AVX2", "AVX-512"],
    "memory_gib": 24.0,
    "system": "Linux x86_64",
    "versions": {"python": "3.11.7", "tensorflow": "2.15.1"},
    "revision": "0123456789abcdef0123-dirty",
    "date": "2024-05-01T12:00:00+00:00",
}


def yardstick(**changes: Any) -> dict[str, Any]:
    """Twice as fast in iterations and no faster in chains."""
    row = {
        "mode": "iteration", "precision": "float32", "ms": 500.0, "peak_mib": 1000.0,
        "ms_ranges": [[490.0, 510.0], [990.0, 1010.0]], "ratio": 2.0, "ratio_range": [1.9, 2.1],
        "yardstick_ms": 1000.0, "yardstick_peak_mib": 400.0,
    }  # fmt: skip
    chain = {
        **row,
        "mode": "langevin",
        "ms": 100.0,
        "yardstick_ms": 100.0,
        "ratio": 1.0,
        "ratio_range": [0.9, 1.1],
    }
    split = {"replay_augment": 10.0, "langevin": 350.0, "loss_backward": 120.0, "update": 20.0}
    return {
        "not_run": None,
        "sizes": {"filters": 32, "batch": 32, "size": 32, "steps": 10, "threads": 2, "lanes": 1},
        "torch": "2.13.0",
        "rows": [row, chain],
        "splits": {"yardstick": split, "float32": split},
        **changes,
    }


def scaling() -> dict[str, Any]:
    """In proportion to K."""
    rows = [
        {"value": k, "ms": 10.0 * k, "ms_range": [10.0 * k, 10.0 * k], "peak_mib": 900.0} for k in (5, 10)
    ]
    base = {"filters": 32, "batch": 32, "steps": 10, "size": 32, "replicas": 1}
    return {"base": base, "threads": 0, "lanes": 1, "axes": {"steps": {"rows": rows, "deviation": 0.01}}}


def first_version() -> dict[str, Any]:
    """Three times as fast, in one rate."""
    settings = {"K": 20, "batch": 64, "threads": 1, "architecture": "tiny"}
    return {
        "revision": "33aa83c",
        "settings": {"33aa83c": settings, "this": settings},
        "rates": {"33aa83c": {"training iterations": 20.0}, "this": {"training iterations": 60.0}},
        "ms_ranges": {"33aa83c": [[49.0, 51.0]], "this": [[16.0, 17.0]]},
        "ratios": {"training iterations": {"median": 3.0, "range": [2.9, 3.1]}},
    }


def others() -> dict[str, dict[str, Any]]:
    """One answer of each other program."""
    convolution = {"kind": "Conv2D", "images": [16, 8, 8, 4], "kernel": [3, 3, 4, 4], "dtype": "float32"}
    size = {"filters": 32, "batch": 32, "size": 32, "channels": 3, "steps": 10, "precision": "float32"}
    return {
        "parts": {
            "rows": [
                {"name": "augmentation", "ms": 40.0, "ms_range": [30.0, 60.0], "rate": 3200.0, "unit": "images"}
            ]
        },
        "limit": {
            "size": size, "ms_per_step": 100.0, "ms_range": [99.0, 101.0], "ms_convolutions": 50.0, "fraction": 0.5,
            "gflop": 5.0, "lanes": 2, "convolutions": [{**convolution, "count": 2, "ms": 50.0, "gflops": 100.0}],
            "ms_by_kind": {"Conv2D": 120.0, "Mul": 40.0},
        },
        "backprop": {
            "batch": 16, "steps": 40, "width": 0.125,
            "rows": [
                {"m": 1, "ms": 10.0, "ms_range": [10.0, 10.0], "more_mib": 100.0, "first_call": 3.0},
                {"m": 40, "ms": 35.0, "ms_range": [35.0, 35.0], "more_mib": 250.0, "first_call": 3.0},
            ],
        },
        "memory": {
            "iteration": {
                "peak_mib": 4000.0, "before_mib": 1500.0, "seconds": 20.0, "parameters": 1000, "width": 1.0,
                "batch": 8, "steps": 2, "precision": "float32",
            },
            "growth": {
                "kib_per_100": 1.5, "standard_error": 2.0, "iterations": 2000, "settling": 2000,
                "from_mib": 800.0, "to_mib": 801.0,
            },
            "run": {"peaks_mib": {"TrainEBM": 900.0, "the run itself": 90.0}, "together_mib": 1000.0, "settings": []},
        },
    }  # fmt: skip


def results() -> dict[str, Any]:
    """A whole results.json."""
    found = {"yardstick": yardstick(), "first_version": first_version(), "scaling": scaling(), **others()}
    sections = {name: {"machine": MACHINE, "quick": False, "found": each} for name, each in found.items()}
    return {"sections": sections}
