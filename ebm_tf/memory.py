"""The most memory that this process has held."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

MIB = 2**20
STATUS = Path("/proc/self/status")
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_mib() -> float:
    """The most that this process has held, in MiB: its resident set, or on a GPU what TensorFlow counts there.

    Of several GPUs it is that of the one that held most. On Linux the resident set is asked of /proc: getrusage also
    counts what the parent held when it started this process.
    """
    tensorflow = sys.modules.get("tensorflow")  # its devices are asked only where it is in use
    if tensorflow is not None and (gpus := tensorflow.config.list_logical_devices("GPU")):
        peaks = [tensorflow.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus]
        return float(max(peaks)) / MIB
    if STATUS.exists() and (found := PEAK.search(STATUS.read_text(encoding="utf-8"))):
        return int(found[1]) * 1024 / MIB
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
