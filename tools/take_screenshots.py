"""Take the pictures of the README: the scheduler's page during a real run, and TensorBoard as linked from there.

A short training on the embedded digits runs in a folder of its own, which is deleted afterwards. Needs Chromium and
its driver, as the tests of the report do.

    python -m tools.take_screenshots [FOLDER]

FOLDER is docs/images unless told otherwise; it gets scheduler.png, progress.png, graph.png and tensorboard.png.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tools.browser import browser

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = REPOSITORY / "docs" / "images"
SHORT = (
    "training.steps=700",
    "training.log_every=10",
    "training.grid_every=350",
    "selection.every=0",
    "sampling.steps=20",
    "sampling.count=200",
    "evaluation.bootstrap=20",
)
RUNNING_PERCENT = 35
ENDED = ("DONE", "FAILED", "DISABLED", "UNKNOWN")
PATIENCE_SECONDS = 600.0
ENDING_SECONDS = 60.0
ANIMATION_SECONDS = 6.0
COLOURS = 128
# The page lets one drag and zoom the graph; this does so until all of it is in view.
FIT_GRAPH = """
const svg = document.querySelector("#mysvg"), graph = svg.querySelector("g"), box = graph.getBBox();
const scale = Math.min((svg.clientWidth - 40) / box.width, (svg.clientHeight - 40) / box.height);
graph.setAttribute("transform", `translate(20, 20) scale(${scale}) translate(${-box.x}, ${-box.y})`);
"""


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the command line, ended afterwards."""
    line = [sys.executable, str(REPOSITORY / "cli.py"), *arguments, "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def first_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a command that serves prints once it does."""
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        part = process.stdout.readline()
        if not part:
            raise SystemExit(f"{' '.join(map(str, process.args))} has ended")  # type: ignore[arg-type]
        text += part
    return dict(json.loads(text))


def until(true: Callable[[], Any], what: str, run: subprocess.Popen[str]) -> Any:
    """Ask again and again until it is true, as long as the run goes on; what it then says."""
    over = time.monotonic() + PATIENCE_SECONDS
    while not (found := true()):
        if run.poll() is not None:
            raise SystemExit(f"the run has ended, with {run.returncode}, before {what} was there")
        if time.monotonic() > over:
            raise SystemExit(f"waited {PATIENCE_SECONDS:.0f} s in vain for {what}")
        time.sleep(0.3)
    return found


def tasks(url: str) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each task, by the id that it gives it."""
    with urllib.request.urlopen(f"{url}/api/task_list?{urlencode({'data': '{}'})}", timeout=60) as answer:
        return dict(json.load(answer)["response"])


def training(url: str) -> dict[str, Any] | None:
    """The training with its link, once it is well under way, and while it is."""
    for task in tasks(url).values():
        if task["name"] == "TrainEBM":
            if task["status"] in ENDED:
                raise SystemExit(
                    f"the training is {task['status']} before its pictures are taken; make it longer"
                )
            if (task["progress_percentage"] or 0) >= RUNNING_PERCENT and task["tracking_url"]:
                return task
    return None


def report_of(url: str) -> str | None:
    """The scheduler's id of the task that all others lead to, once it knows that task."""
    return next((key for key, task in tasks(url).items() if task["name"] == "Report"), None)


def picture(what: webdriver.Chrome | WebElement, place: Path) -> None:
    """Save what the window shows, or a part of it, in few colours."""
    whole = isinstance(what, webdriver.Chrome)
    content = what.get_screenshot_as_png() if whole else what.screenshot_as_png
    shot = Image.open(io.BytesIO(content)).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(place, optimize=True)
    print(f"{place}: {shot.width}x{shot.height}, {place.stat().st_size / 1024:.0f} KiB")


def shown(page: webdriver.Chrome, words: str) -> bool:
    """The page says so."""
    return words in page.find_element(By.TAG_NAME, "body").text


def take(folder: Path, url: str, board: str, profile: Path, run: subprocess.Popen[str]) -> None:
    """Take all pictures while the run trains."""
    task = until(lambda: training(url), "the training", run)
    with browser(profile, "--window-size=1640,1000") as page:
        page.get(f"{url}/static/visualiser/index.html#order=4,desc&length=25")
        until(lambda: shown(page, "TrainEBM"), "the list of tasks", run)
        picture(page, folder / "scheduler.png")
        page.find_element(By.CSS_SELECTOR, "#taskTable tbody tr:first-child .statusMessage").click()
        message = page.find_element(By.CSS_SELECTOR, "#statusMessageModal")
        until(lambda: training(url) and "E(real)" in message.text, "the message of the training", run)
        time.sleep(ANIMATION_SECONDS)
        picture(message.find_element(By.CSS_SELECTOR, ".modal-content"), folder / "progress.png")
        page.set_window_size(1180, 1000)
        report = until(lambda: report_of(url), "the report", run)
        page.get(f"{url}/static/visualiser/index.html#tab=graph&taskId={report}&visType=d3")
        page.refresh()
        until(lambda: shown(page, "PrepareDataset"), "the graph", run)
        time.sleep(ANIMATION_SECONDS)
        page.execute_script(FIT_GRAPH)
        picture(page, folder / "graph.png")
        until(lambda: answers(board), "TensorBoard", run)
        page.set_window_size(1640, 1000)
        page.get(task["tracking_url"])
        time.sleep(ANIMATION_SECONDS)
        picture(page, folder / "tensorboard.png")


def answers(url: str) -> bool:
    """Something is there."""
    try:
        with urllib.request.urlopen(f"{url}/data/runs", timeout=60) as answer:
            return bool(json.load(answer))
    except OSError:
        return False


def main() -> None:
    """From nothing to pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ebm-") as scratch:
        root, state = Path(scratch) / "digits", Path(scratch) / "state"
        (root / "artifacts").mkdir(parents=True)
        settings = [part for setting in SHORT for part in ("--set", setting)]
        with command("scheduler", "--port", "0", "--state", str(state)) as server:
            told = first_object(server)
            address = f"{told['host']}:{told['port']}"
            with command("tensorboard", "--port", "0", "--root", str(root)) as board:
                board_url = first_object(board)["url"]
                where = ("--root", str(root), "--scheduler", address)
                with command("run", "--task", "Report", *where, *settings) as run:
                    take(folder, told["url"], board_url, Path(scratch) / "profile", run)


if __name__ == "__main__":
    main()
