"""What clean offers, deletes and leaves alone; the command line and all that stands in its way are real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.errors import Busy, MissingInput
from pipelines.artifact import Artifact
from pipelines.in_use import alone, in_use
from pipelines.keeping.cleaning import CLASSES, DEBRIS, UNFINISHED, UNREFERENCED, Swept, survey, sweep
from pipelines.keeping.inventory import places
from pipelines.lock import locked
from pipelines.publishing import prepare_work
from tests.file_trees import everything
from tests.pipelines.artifact_trees import link, published
from tests.pipelines.conftest import COMMAND

DAYS = 86_400
HOLD = """
import sys, time
from pathlib import Path
from pipelines.artifact import Artifact
from pipelines.in_use import in_use
from pipelines.lock import locked
root, task, short = sys.argv[1:]
with locked(Artifact(Path(root), task, short)) if task else in_use(Path(root)):
    print("held", flush=True)
    time.sleep(600)
"""


def clean(root: Path, *arguments: str, code: int = 0) -> str:
    """What the command says on both channels."""
    command = [sys.executable, str(COMMAND), "clean", "--root", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def answer(root: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What it prints with --json."""
    text = clean(root, *arguments, "--json", code=code)
    return dict(json.JSONDecoder().raw_decode(text)[0])


def offered(root: Path, older_than: float | None = None) -> dict[str, str]:
    """The class of everything that there is, by its path below artifacts/ or runs/."""
    found = survey(root, older_than)
    assert found.untold is None
    return {item.path.relative_to(root).as_posix(): item.kind for item in found.items}


def swept(root: Path, *kinds: str, older_than: float | None = None) -> Swept:
    """Delete all of these classes, of any by default."""
    chosen = [item for item in survey(root, older_than).items if item.kind in (kinds or CLASSES)]
    return sweep(root, chosen, older_than)


@contextmanager
def held(root: Path, artifact: Artifact | None = None) -> Iterator[int]:
    """Another process that builds the artifact, or that is at work below the root."""
    who = ["", ""] if artifact is None else [artifact.task, artifact.short]
    command = [sys.executable, "-c", HOLD, str(root), *who]
    environment = {**os.environ, "PYTHONPATH": str(COMMAND.parents[2])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def begun(
    root: Path, short: str = "a" * 16, task: str = "TrainEBM", reads: Artifact | None = None
) -> Artifact:
    """A build that was cut short, without anything to go on from."""
    artifact = Artifact(root, task, short)
    prepare_work(artifact, {})
    inputs = {reads.task: str(reads.path)} if reads else {}
    (artifact.work / "spec.json").write_text(json.dumps({"inputs": inputs}))
    return artifact


def aged(path: Path, days: float) -> None:
    """Make everything there look as if it was written so long ago."""
    for each in [path, *path.rglob("*")]:
        then = time.time() - days * DAYS
        os.utime(each, (then, then), follow_symlinks=False)


@pytest.fixture
def chain(tmp_path: Path) -> list[Artifact]:
    """Three artifacts, each made from the one before."""
    made: list[Artifact] = []
    for task in ("PrepareDataset", "TrainEBM", "GenerateSamples"):
        made.append(published(tmp_path, task, {"seed": 0}, {one.task: one for one in made[-1:]}))
    return made


def test_nothing_there_is_nothing_to_delete(tmp_path: Path) -> None:
    assert "nothing to delete" in clean(tmp_path)
    said = clean(tmp_path / "nowhere", code=4)
    assert said == f"error: there is no folder {tmp_path / 'nowhere'}; give the --root of some runs\n"
    assert everything(tmp_path) == set()


def test_what_a_link_leads_to_and_what_that_stands_on_is_kept(tmp_path: Path, chain: list[Artifact]) -> None:
    data, model, samples = chain
    link(tmp_path, "mine", model)
    assert offered(tmp_path) == {samples.path.relative_to(tmp_path).as_posix(): UNREFERENCED}
    size = sum(path.stat().st_size for path in samples.path.rglob("*"))
    found = answer(tmp_path, "--unreferenced", "--yes")
    assert (found["dry_run"], found["freed_bytes"], found["kept"]) == (False, size, [])
    assert not samples.path.exists()
    assert data.complete()
    assert model.complete()
    assert offered(tmp_path) == {}


@pytest.mark.parametrize("leads", ["into it", "from a moved experiment", "by a damaged neighbour"])
def test_other_ways_to_lead_to_it_count_too(tmp_path: Path, chain: list[Artifact], leads: str) -> None:
    root, samples = tmp_path, chain[-1]
    if leads == "into it":
        (root / "runs/deep/er").mkdir(parents=True)
        (root / "runs/deep/er/note").symlink_to(samples.path / "data.txt")
    elif leads == "from a moved experiment":
        link(root, "mine", samples).rename(root / "elsewhere")
        (root / "runs/mine").symlink_to(root / "elsewhere")
    else:
        link(root, "mine", samples)
        (samples.path / "data.txt").unlink()
    assert offered(root) == {}


def test_a_link_that_never_got_its_name_leads_nowhere(tmp_path: Path, chain: list[Artifact]) -> None:
    new = link(tmp_path, "mine", chain[-1]) / "GenerateSamples"
    left = new.rename(new.with_name(".GenerateSamples-7"))
    assert offered(tmp_path) == {}, "it may get it yet"
    aged(left, 1)
    assert offered(tmp_path) == {
        "runs/mine/.GenerateSamples-7": DEBRIS,
        **{artifact.path.relative_to(tmp_path).as_posix(): UNREFERENCED for artifact in chain},
    }


def test_links_that_were_moved_away_are_not_ours_to_delete(tmp_path: Path, chain: list[Artifact]) -> None:
    link(tmp_path, "mine", chain[-1]).rename(tmp_path / "elsewhere")
    (tmp_path / "runs/mine").symlink_to(tmp_path / "elsewhere")
    shutil.rmtree(chain[-1].path)
    assert not any(path.startswith("runs/") for path in offered(tmp_path))


def test_a_link_that_leads_round_in_a_circle_leads_nowhere(tmp_path: Path, chain: list[Artifact]) -> None:
    folder = link(tmp_path, "mine", chain[-1])
    (folder / "loop").symlink_to("loop")
    (chain[0].folder / "loop").symlink_to("loop")
    (chain[0].folder / ("e" * 16)).symlink_to("e" * 16)
    (tmp_path / "artifacts/Loop").symlink_to("Loop")
    assert offered(tmp_path) == {}
    assert "nothing to delete" in clean(tmp_path)
    assert (folder / "loop").is_symlink()


def test_a_root_whose_store_is_a_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("runs")
    assert f"{tmp_path / 'runs'} is a link to " in clean(tmp_path, code=4)


def test_an_old_record_leads_by_the_name_of_its_input(tmp_path: Path, chain: list[Artifact]) -> None:
    data, model, _ = chain
    link(tmp_path, "mine", model)
    record = json.loads((model.path / "params.json").read_text())
    del record["inputs"]["PrepareDataset"]["task"]
    (model.path / "params.json").write_text(json.dumps(record))
    assert data.path.relative_to(tmp_path).as_posix() not in offered(tmp_path)


@pytest.mark.parametrize(
    "record, why",
    [
        ("{", "JSONDecodeError"),
        (None, "No such file"),
        ("[" * 100_000, "RecursionError"),
        ('{"format": 99, "inputs": {}}', "newer than 1"),
        (
            '{"inputs": {"PrepareDataset": {"fingerprint": "zz"}}}',
            "no artifact can be called PrepareDataset/zz",
        ),
        ('{"inputs": {"PrepareDataset": {"task": 7, "fingerprint": "0123456789abcdef"}}}', "TypeError"),
    ],
)
def test_where_a_record_tells_nothing_nothing_is_unreferenced(
    tmp_path: Path, chain: list[Artifact], record: str | None, why: str
) -> None:
    model = chain[1]
    link(tmp_path, "mine", model)
    (model.path / "params.json").unlink()
    if record is not None:
        (model.path / "params.json").write_text(record)
    found = survey(tmp_path)
    assert found.items == ()
    assert f"what {model.path} was made from is not known" in str(found.untold)
    assert why in str(found.untold)
    assert "rebuild it with --force TrainEBM, or remove the links to it below runs/" in str(found.untold)


def test_unreferenced_that_cannot_be_told_is_missing_input(tmp_path: Path, chain: list[Artifact]) -> None:
    link(tmp_path, "mine", chain[1])
    (chain[1].path / "params.json").unlink()
    before = everything(tmp_path)
    said = clean(tmp_path, "--unreferenced", "--yes", code=4)
    assert said.startswith(f"error: what {chain[1].path} was made from is not known")
    assert answer(tmp_path)["unreferenced_unknown"].startswith("what ")
    assert everything(tmp_path) == before


def test_what_is_being_made_keeps_what_it_reads(tmp_path: Path, chain: list[Artifact]) -> None:
    data = chain[0]
    work = begun(tmp_path, "b" * 16, "TrainSNGAN", reads=data)
    (work.checkpoints / "step").write_text("1")
    assert data.path.relative_to(tmp_path).as_posix() not in offered(tmp_path)
    shutil.rmtree(work.work)
    assert offered(tmp_path)[data.path.relative_to(tmp_path).as_posix()] == UNREFERENCED


def test_debris_is_told_from_what_is_of_use(tmp_path: Path, chain: list[Artifact]) -> None:
    """Every leftover that a kill can leave, beside something that looks like it and is not."""
    data, model, samples = chain
    folder = link(tmp_path, "mine", samples)
    empty = begun(tmp_path)
    (empty.output / "half").write_text("half")
    going_on = begun(tmp_path, "b" * 16)
    (going_on.checkpoints / "set").mkdir()
    (going_on.checkpoints / "set/step-1").write_text("1")
    (going_on.checkpoints / "set/step-2.unfinished").write_text("2")
    (going_on.checkpoints / "step-3.damaged").mkdir()
    (going_on.work / "attempts.unfinished").write_text("{")
    (going_on.output / "half.unfinished").write_text("half")
    failed = begun(tmp_path, "c" * 16)
    failed.log.write_text("what happened")
    (data.folder / f".trash-{data.short}").mkdir()
    shutil.copytree(model.path, model.replaced)
    samples.path.rename(samples.replaced)  # killed in the middle of a swap: it is all that there is
    model.want_rebuild()
    gone = Artifact(tmp_path, "Report", "d" * 16)
    with locked(gone), locked(empty), locked(model):
        pass
    (folder / "Report").symlink_to(gone.path)
    (folder / "theirs").symlink_to(tmp_path / "not" / "ours")
    (folder / f".TrainEBM-{os.getpid()}").symlink_to(model.path)
    (folder / ".EvaluateFID-7").symlink_to(data.path)
    then = time.time() - 2 * 3600
    os.utime(folder / ".EvaluateFID-7", (then, then), follow_symlinks=False)
    assert offered(tmp_path) == {
        f"artifacts/PrepareDataset/.trash-{data.short}": DEBRIS,
        f"artifacts/TrainEBM/.old-{model.short}": DEBRIS,
        f"artifacts/TrainEBM/.work-{'a' * 16}": DEBRIS,
        f"artifacts/TrainEBM/.work-{'b' * 16}/attempts.unfinished": DEBRIS,
        f"artifacts/TrainEBM/.work-{'b' * 16}/checkpoints/set/step-2.unfinished": DEBRIS,
        f"artifacts/TrainEBM/.work-{'b' * 16}/checkpoints/step-3.damaged": DEBRIS,
        f"artifacts/TrainEBM/.work-{'b' * 16}/output": DEBRIS,
        f"artifacts/Report/.lock-{'d' * 16}": DEBRIS,
        "runs/mine/Report": DEBRIS,
        "runs/mine/.EvaluateFID-7": DEBRIS,
        f"artifacts/TrainEBM/.work-{'b' * 16}": UNFINISHED,
        f"artifacts/TrainEBM/.work-{'c' * 16}": UNFINISHED,
    }
    before, debris = (
        everything(tmp_path),
        [path for path, kind in offered(tmp_path).items() if kind == DEBRIS],
    )
    assert len(swept(tmp_path, DEBRIS).gone) == len(debris)
    assert before - everything(tmp_path) == {
        f"artifacts/TrainEBM/.lock-{'a' * 16}",  # now that nothing else is there
        *(path for path in before for gone in debris if path == gone or path.startswith(f"{gone}/")),
    }
    assert model.complete()
    assert model.rebuild_wanted
    assert (going_on.checkpoints / "set/step-1").read_text() == "1"
    prepare_work(samples, {})
    assert samples.complete(), "the swap can be undone still"


def test_unfinished_work_goes_when_it_is_asked_for(tmp_path: Path) -> None:
    work = begun(tmp_path)
    (work.checkpoints / "step-1").write_text("1" * 100)
    (work.output / "half").write_text("2" * 10)
    swept(tmp_path, DEBRIS)
    assert (work.checkpoints / "step-1").exists()
    assert not work.output.exists()
    text = clean(tmp_path, "--unfinished", "--yes")
    assert "a run would go on from it" in text
    assert everything(tmp_path) == {"artifacts", "artifacts/TrainEBM"}


@pytest.mark.parametrize("left", ["nothing", "checkpoints", "a log", "empty folders"])
def test_a_mark_for_a_rebuild_stays(tmp_path: Path, chain: list[Artifact], left: str) -> None:
    """It is no leftover; what a build that it began has left goes without it."""
    model = chain[1]
    link(tmp_path, "mine", chain[-1])
    model.want_rebuild()
    work = model.work.relative_to(tmp_path).as_posix()
    if left != "nothing":
        prepare_work(model, {})
    if left == "checkpoints":
        (model.checkpoints / "step-1").write_text("1")
    if left == "a log":
        model.log.write_text("what happened")
    kinds = {"nothing": {}, "empty folders": {work: DEBRIS}}.get(left, {work: UNFINISHED})
    assert offered(tmp_path) == kinds
    clean(tmp_path, "--unfinished", "--yes")
    assert model.rebuild_wanted
    assert [path.name for path in model.work.iterdir()] == ["rebuild"]
    assert offered(tmp_path) == {}
    assert not (model.folder / f".trash-{model.short}").exists()
    assert model.complete()


def test_a_mark_on_what_is_gone_is_debris(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", "a" * 16)
    artifact.want_rebuild()
    assert offered(tmp_path) == {f"artifacts/TrainEBM/.work-{'a' * 16}": DEBRIS}


def test_an_experiment_stays_stale_when_all_is_cleaned(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    lab.run("invalidate", "TrainEBM", "--yes")
    lab.behave(TrainEBM="fail")
    lab.run("run", "--task", "TrainEBM")
    assert "the log of a run that failed" in clean(lab.root, "--unfinished", "--yes")
    assert lab.states("status")["TrainEBM"] == "stale"


def test_sizes_add_up(tmp_path: Path) -> None:
    work = begun(tmp_path)
    (work.checkpoints / "step-1").write_text("1" * 100)
    (work.output / "half").write_text("2" * 10)
    total = sum(path.stat().st_size for path in work.work.rglob("*") if path.is_file())
    found = answer(tmp_path, "--unfinished")
    assert found["chosen_bytes"] == total
    assert {item["bytes"] for item in found["items"]} == {10, total - 10}
    assert (found["dry_run"], found["freed_bytes"]) == (True, 0)
    assert work.output.exists()
    assert sum(item.bytes for item in swept(tmp_path).gone) == total


def test_what_is_not_ours_is_neither_counted_nor_touched(tmp_path: Path, chain: list[Artifact]) -> None:
    link(tmp_path, "mine", chain[-1])
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    folder = tmp_path / "artifacts"
    for place in ("0123456789abcdef", "notes", ".work-short", "Mine/.hidden", "Mine/0123456789abcdef"):
        (folder / place).mkdir(parents=True)
        (folder / place / "note.txt").write_text("a note")
    (folder / "TrainEBM" / f".trash-{'a' * 16}").symlink_to(outside)
    (folder / "TrainEBM" / f".work-{'a' * 16}").symlink_to(outside)
    (folder / "TrainEBM" / ("b" * 16)).symlink_to(outside)
    (folder / "Linked").symlink_to(outside)
    (outside / f".trash-{'c' * 16}").mkdir()
    trash = folder / "TrainEBM" / f".trash-{'d' * 16}"
    trash.mkdir()
    (trash / "inner").symlink_to(outside)
    (tmp_path / "runs/mine/notes.txt").write_text("a note")
    before = everything(tmp_path)
    assert set(offered(tmp_path)) == {trash.relative_to(tmp_path).as_posix()}
    swept(tmp_path)
    assert before - everything(tmp_path) == {
        f"artifacts/TrainEBM/{trash.name}",
        f"artifacts/TrainEBM/{trash.name}/inner",
    }
    assert (outside / "precious").read_text() == "precious"
    assert (outside / f".trash-{'c' * 16}").is_dir()


@pytest.mark.parametrize("name", ["artifacts", "runs"])
def test_a_store_behind_a_link_is_refused(tmp_path: Path, chain: list[Artifact], name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "runs").mkdir()
    (root / name).symlink_to(tmp_path / name)
    said = f"{root / name} is a link to {tmp_path / name}, and no link is followed where things are deleted"
    with pytest.raises(MissingInput, match=said):
        swept(root)
    assert all(artifact.complete() for artifact in chain)


def test_what_is_being_built_is_left_alone(tmp_path: Path, chain: list[Artifact]) -> None:
    work = begun(tmp_path)
    (chain[0].folder / f".trash-{chain[0].short}").mkdir()
    with held(tmp_path, work) as pid:
        said = clean(tmp_path, "--unfinished", "--yes")
        assert f"TrainEBM {'a' * 16} is being built by process {pid}" in said
        assert "left alone" in said
        assert work.output.is_dir()
        assert not (chain[0].folder / f".trash-{chain[0].short}").exists()
        with pytest.raises(
            Busy, match=f"is being built by process {pid}.*clean --unreferenced again when it"
        ):
            swept(tmp_path, UNREFERENCED)
        assert all(artifact.complete() for artifact in chain)
    swept(tmp_path, UNREFERENCED)
    assert not any(artifact.path.exists() for artifact in chain)


def test_the_rest_goes_while_a_run_keeps_the_unreferenced(tmp_path: Path, chain: list[Artifact]) -> None:
    """Whether the run builds something just now, or is between two stages."""
    trash = chain[0].folder / f".trash-{chain[0].short}"
    for building in (begun(tmp_path), None):
        trash.mkdir()
        (begun(tmp_path, "b" * 16).checkpoints / "step-1").write_text("1")
        with held(tmp_path, building):
            said = clean(tmp_path, "--unfinished", "--unreferenced", "--yes")
            assert "and its run may need" in said if building else "a run is at work below" in said
            assert "2 items deleted" in said if building else "3 items deleted" in said
            assert not trash.exists()
            assert not (tmp_path / f"artifacts/TrainEBM/.work-{'b' * 16}").exists()
            assert all(artifact.complete() for artifact in chain)
            trash.mkdir()
            found = answer(tmp_path, "--unreferenced", "--yes")
            paths = {artifact.path: str(artifact.path) for artifact in chain}
            assert {item["path"] for item in found["kept"]} == set(paths.values())
            assert [item["path"] for item in found["items"] if item["deleted"]] == [str(trash)]
            clean(tmp_path, "--unreferenced", "--yes", code=5)
    clean(tmp_path, "--unreferenced", "--yes")
    assert not any(artifact.path.exists() for artifact in chain)


def test_a_run_between_two_stages_keeps_what_no_link_leads_to_yet(
    tmp_path: Path, chain: list[Artifact]
) -> None:
    with held(tmp_path):
        said = clean(tmp_path, "--unreferenced", "--yes", code=5)
        assert f"error: a run is at work below {tmp_path}, and may need what no link leads to yet" in said
        assert all(artifact.complete() for artifact in chain)
    with in_use(tmp_path), in_use(tmp_path), pytest.raises(Busy), alone(tmp_path):
        pass
    with alone(tmp_path), pytest.raises(Busy), alone(tmp_path):
        pass


def test_an_item_is_looked_at_again_before_it_goes(tmp_path: Path, chain: list[Artifact]) -> None:
    """Between the question and the answer all may have changed."""
    data, model, samples = chain
    work = begun(tmp_path)
    found = list(survey(tmp_path).items)
    assert {item.key for item in found} == {*((one.task, one.short) for one in chain), ("TrainEBM", "a" * 16)}
    link(tmp_path, "mine", model)
    (work.checkpoints / "step").write_text("1")
    swept = sweep(tmp_path, found)
    assert [item.path for item in swept.gone] == [samples.path]
    assert {(item.path, reason) for item, reason in swept.kept} == {
        (path, "it has changed since") for path in (data.path, model.path, work.work)
    }
    assert data.complete()
    assert model.complete()


def test_a_builder_that_comes_between_is_not_disturbed(tmp_path: Path) -> None:
    work = begun(tmp_path)
    found = survey(tmp_path).items
    with held(tmp_path, work) as pid:
        swept = sweep(tmp_path, found)
    assert swept.gone == ()
    assert f"is being built by process {pid}" in swept.kept[0][1]
    assert work.output.is_dir()


def test_older_than_spares_what_is_new_and_what_that_stands_on(tmp_path: Path, chain: list[Artifact]) -> None:
    data, model, samples = chain
    other = published(tmp_path, "TrainEBM", {"seed": 1})
    for artifact, days in ((data, 9), (model, 9), (samples, 1), (other, 9)):
        aged(artifact.path, days)
    assert set(offered(tmp_path, 5)) == {other.path.relative_to(tmp_path).as_posix()}
    assert len(offered(tmp_path, 0.5)) == 4
    aged(other.path, -3)  # a clock was wrong
    assert offered(tmp_path, 5) == {}
    assert other.path.relative_to(tmp_path).as_posix() not in offered(tmp_path, 0)
    swept(tmp_path, UNREFERENCED, older_than=0.5)
    assert not samples.path.exists()
    assert other.complete()


def test_debris_is_narrowed_by_age_too(tmp_path: Path) -> None:
    old, new = begun(tmp_path), begun(tmp_path, "b" * 16)
    (old.checkpoints / "step").write_text("1")
    (old.output / "half").write_text("2")
    aged(old.work, 9)
    assert set(offered(tmp_path, 5)) == {
        f"artifacts/TrainEBM/.work-{'a' * 16}",
        f"artifacts/TrainEBM/.work-{'a' * 16}/output",
    }
    clean(tmp_path, "--unfinished", "--older-than", "5", "--yes")
    assert not old.work.exists()
    assert new.work.exists()


def test_the_lock_of_nothing_goes_once_nobody_holds_it(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", "a" * 16)
    with held(tmp_path, artifact):
        assert offered(tmp_path) == {}
        assert artifact.lock_file.exists()
    swept(tmp_path)
    assert not artifact.lock_file.exists()


def sweep_and_die(root: Path, moment: int) -> None:
    """Delete everything, and be killed before the deletion of that number, of names and files alike."""
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in ("os.rename", "os.remove", "os.rmdir"):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    swept(root)


def test_a_kill_at_any_moment_leaves_debris_and_no_half_artifact(tmp_path: Path) -> None:
    moment, killed = 0, True
    while killed:
        moment += 1
        root = tmp_path / str(moment)
        artifact = published(root, "TrainEBM", {"seed": 0})
        shutil.copytree(artifact.path, artifact.replaced)
        (begun(root, "b" * 16).checkpoints / "step").write_text("1")
        process = multiprocessing.get_context("fork").Process(target=sweep_and_die, args=(root, moment))
        process.start()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0
        assert artifact.complete() or not artifact.path.exists()
        swept(root)
        assert everything(root) == {"artifacts", "artifacts/TrainEBM", "artifacts/.in-use"}
    assert moment > 12


def test_an_interrupt_is_one_line(tmp_path: Path) -> None:
    begun(tmp_path)
    before = everything(tmp_path)
    code, said = at_a_terminal(tmp_path, lambda process, _: process.send_signal(signal.SIGINT))
    assert code == 130
    assert said.splitlines()[-1] == "error: interrupted"
    assert everything(tmp_path) == before


@pytest.mark.parametrize("reply, goes", [("y", True), ("", False), ("yep", False)])
def test_it_asks_with_the_total(tmp_path: Path, reply: str, goes: bool) -> None:
    work = begun(tmp_path)
    (work.output / "half").write_text("1" * 3072)
    code, said = at_a_terminal(tmp_path, lambda _, terminal: os.write(terminal, f"{reply}\n".encode()))
    assert code == 0
    assert "delete 1 item, 3.0 KiB? [y/N] " in said
    assert said.splitlines()[-1].endswith("1 item deleted, 3.0 KiB freed" if goes else "nothing was deleted")
    assert work.work.exists() is not goes


def test_without_a_terminal_it_looks_and_says_what_to_give(tmp_path: Path) -> None:
    work = begun(tmp_path)
    said = clean(tmp_path, code=2)
    assert f".work-{'a' * 16}" in said
    assert "error: clean asks before it acts, and there is no terminal to ask at; " in said
    assert "; give --yes to delete, or --dry-run to look\n" in said
    assert work.work.exists()


def test_a_dry_run_shows_what_would_go_and_asks_nothing(tmp_path: Path) -> None:
    work = begun(tmp_path)
    (work.output / "half").write_text("1" * 3072)
    before = everything(tmp_path)
    said = clean(tmp_path, "--dry-run")
    assert f".work-{'a' * 16}" in said
    assert said.endswith("would delete 1 item, 3.0 KiB; nothing was deleted\n")
    assert "--yes deletes and --dry-run only looks" in clean(tmp_path, "--dry-run", "--yes", code=2)
    assert everything(tmp_path) == before


def at_a_terminal(root: Path, act: Any) -> tuple[int, str]:
    """The exit code and what the command says on stderr, when its user acts once it has asked."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(COMMAND), "clean", "--root", str(root)]
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # As at a terminal, also where the tests themselves run in the background, which ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    assert process.stderr is not None
    try:
        said = b""
        while b"[y/N]" not in said:
            part = os.read(process.stderr.fileno(), 4096)
            assert part, said
            said += part
        act(process, ours)
        said += process.stderr.read()
        return process.wait(60), said.decode()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        os.close(ours)


def test_places_are_what_their_names_say(tmp_path: Path, chain: list[Artifact]) -> None:
    assert set(places(tmp_path)) == {(one.task, one.short) for one in chain}
    with pytest.raises(MissingInput, match="there is no folder"):
        places(tmp_path / "none")


def test_after_real_runs_only_what_the_links_left_behind_goes(lab: Any) -> None:
    lab.run("run", "--task", "GenerateSamples")
    lab.run("run", "--task", "GenerateSamples", "--set", "langevin.steps=7")
    assert "2 items" in clean(lab.root)
    clean(lab.root, "--unreferenced", "--yes")
    assert len(lab.artifacts("TrainEBM")) == len(lab.artifacts("GenerateSamples")) == 1
    lab.calls()
    lab.run("run", "--task", "GenerateSamples", "--set", "langevin.steps=7")
    assert lab.calls() == []


def test_a_run_that_is_going_on_is_not_disturbed(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    said = clean(lab.root, "--unfinished", "--unreferenced", "--yes")
    assert said.endswith("; left alone\nnothing to delete\n")
    process.terminate()
    process.communicate(timeout=60)
    lab.behave()
    again = lab.answer("run", "--task", "TrainEBM")
    assert again["metrics"]["resumed"] is True
    assert {row["task"]: row["state"] for row in again["tasks"]} == {
        "PrepareDataset": "reused",
        "TrainEBM": "ran",
    }
