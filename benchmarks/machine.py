"""The machine that figures were taken on, and with what: in words, for whoever compares them with theirs."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from pipelines.provenance import git_revision, versions

VECTORS = {  # flag of Linux: name, in the order of what they can do
    "avx": "AVX",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 bfloat16",
    "amx_bf16": "AMX bfloat16",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "Arm bfloat16",
}


def described() -> dict[str, Any]:
    """Processor, cores that may be used, vector instructions, memory in GiB, system, versions, revision and date."""
    told = _processor()
    return {
        "processor": told["name"],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vectors": told["vectors"],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{sys.platform} {platform.machine()}",
        "versions": versions(),
        "revision": git_revision(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def in_words(machine: dict[str, Any]) -> str:
    """One sentence about what `described` found."""
    vectors = machine["vectors"]
    able = (
        "vector instructions not known" if vectors is None else ", ".join(vectors) or "no vector instructions"
    )
    cores = f"{machine['cores']} core{'s' if machine['cores'] != 1 else ''}"
    return f"{machine['processor']}, {cores} ({able}), {machine['memory_gib']:g} GiB of memory, {machine['system']}"


def _processor(file: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Name, and vector instructions where Linux tells them (else None)."""
    try:
        text = file.read_text()
    except OSError:
        return {"name": platform.processor() or platform.machine(), "vectors": None}
    fields = dict(re.findall(r"^([^:\n]+?)\s*:\s*(.*)$", text, re.MULTILINE))
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    name = fields.get("model name") or platform.machine()
    return {"name": name, "vectors": [words for flag, words in VECTORS.items() if flag in flags]}
