"""A stage in a few milliseconds: what it does is told by the file that FAKE_STAGES names (task -> behaviour).

Behaviours: "good" (the default), "fail", "crash", "empty", "sleep" (for ever, with a grandchild), "gate" (good, once
the file "open" is there), "fail at 6 steps" (of langevin; otherwise good), and "other" (good, but with different
content each time).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path


def end_with_parent() -> None:
    """As the real child does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.02)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def note(folder: Path, name: str) -> None:
    """Leave this process's id where the test looks for it."""
    (folder / f"{name}.part").write_text(str(os.getpid()))
    (folder / f"{name}.part").rename(folder / name)


def main(name: str, spec_path: str, out: str) -> int:
    end_with_parent()
    control = Path(os.environ["FAKE_STAGES"])
    behaviour = json.loads(control.read_text()).get(name, "good")
    spec = json.loads(Path(spec_path).read_text())
    with (control.parent / "calls.txt").open("a") as calls:
        calls.write(f"{name}\n")
    (Path(out) / "tensorboard").mkdir()
    tempfile.mkdtemp()  # as libraries do, and leave it
    say("progress", done=1, total=2, message="half")
    print("not an event", flush=True)
    if behaviour == "fail" or (behaviour == "fail at 6 steps" and spec["settings"]["langevin"]["steps"] == 6):
        print("the reason, in the log", file=sys.stderr)
        say("error", message="the data are gone", exit_code=3)
        return 3
    if behaviour == "crash":
        return 7
    if behaviour == "empty":
        return 0
    if behaviour == "sleep":
        (Path(out) / "half.txt").write_text("half")
        (Path(spec["work"]) / "checkpoint.txt").write_text("step 1")
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
        note(control.parent, "sleeping")
        time.sleep(600)
    if behaviour == "gate":
        note(control.parent, "at the gate")
        while not (control.parent / "open").exists():
            time.sleep(0.02)
    resumed = (Path(spec["work"]) / "checkpoint.txt").exists()
    content = {"settings": spec["settings"], "seen": sorted(spec["inputs"])}
    if behaviour == "other":
        content["unique"] = uuid.uuid4().hex
    (Path(out) / "data.json").write_text(json.dumps(content, sort_keys=True))
    (Path(out) / "metrics.json").write_text(json.dumps({"resumed": resumed, "rows": {"fresh": 1.5}}))
    (Path(out) / "tensorboard" / "events").write_text(uuid.uuid4().hex)
    say("ended", peak_memory_mib=123.5)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
