"""What is read is data and no program, and no name in it leads out of its folder; servers stay at home."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from ebm_tf.config_files import load_experiment
from ebm_tf.datasets.image_sets import open_images
from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.evaluation.extractors.inception_graph import GRAPH, read_graph
from ebm_tf.evaluation.published import Published
from ebm_tf.evaluation.statistics import Moments
from ebm_tf.files import inside
from pipelines.artifact import Artifact, content_digest
from pipelines.judging.lineage import lineage
from pipelines.keeping.exporting import copy_out
from pipelines.running import links
from pipelines.trees import all_tasks
from tests.loading_rules import offences
from tests.pipelines.artifact_trees import published
from tests.stores import write_store
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for place in ("ebm_tf", "pipelines", "tools", "benchmarks", "configs", "cli.py")
    for path in ([REPOSITORY / place] if place.endswith(".py") else (REPOSITORY / place).rglob("*.py"))
)


class Trap:
    """Makes a folder as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path: Path) -> Any:
    """An array of objects that makes the folder `sprung` when it is loaded; afterwards none is there."""
    yield np.array([Trap(tmp_path / "sprung")], object)
    assert not (tmp_path / "sprung").exists()


def test_the_trap_is_one(tmp_path: Path) -> None:
    np.save(tmp_path / "trap.npy", np.array([Trap(tmp_path / "sprung")], object))
    np.load(tmp_path / "trap.npy", allow_pickle=True)
    assert (tmp_path / "sprung").is_dir()


def test_nothing_that_is_loaded_is_a_program() -> None:
    assert len(SOURCES) > 150
    found = {
        path.relative_to(REPOSITORY).as_posix(): broken
        for path in SOURCES
        if (broken := offences(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source, said",
    [
        ("import pickle", "imports pickle"),
        ("from pickle import loads", "imports pickle"),
        ("import os, joblib.memory as m", "imports joblib.memory"),
        ("def f():\n    import dill", "imports dill"),
        ("import importlib\nimportlib.import_module('shelve')", "imports shelve"),
        ("import numpy as np\nnp.load('a')", "numpy.load without"),
        ("import numpy\nnumpy.load('a', mmap_mode='r')", "numpy.load without"),
        ("from numpy import load as l\nl('a')", "numpy.load without"),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", "numpy.load without"),
        ("import numpy as np\nkind = False\nnp.load('a', allow_pickle=kind)", "numpy.load without"),
        ("import numpy as np\nnp.load('a', **{'allow_pickle': True})", "numpy.load without"),
        ("import numpy as np\nnp.lib.format.read_array(f, allow_pickle=1)", "read_array without"),
        ("import numpy as np\nnp.save('a', b, allow_pickle=True)", "numpy.save with allow_pickle"),
        ("import yaml\nyaml.load('a')", "yaml.load without"),
        ("import yaml\nyaml.load('a', yaml.Loader)", "yaml.load without"),
        ("import yaml\nyaml.load('a', Loader=yaml.UnsafeLoader)", "yaml.load without"),
        ("import yaml\nyaml.unsafe_load('a')", "yaml.unsafe_load"),
        (
            "import yaml\nclass Lax(yaml.FullLoader): pass\nyaml.load('a', Lax)",
            "yaml.load without",
        ),
        ("from yaml import load\nload('a')", "yaml.load without"),
        ("eval('1')", "calls eval"),
        ("exec('1')", "calls exec"),
        ("__import__('os')", "calls __import__"),
        ("import subprocess as s\ns.run('ls', shell=True)", "with shell"),
        ("import subprocess\nsubprocess.run('ls', shell=flag)", "with shell"),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import popen\npopen('ls')", "os.popen"),
        ("import tarfile\ntarfile.open('a').extractall('b')", "extractall"),
        ("from shutil import unpack_archive\nunpack_archive('a')", "unpack_archive"),
        ("import keras\nkeras.models.load_model('a')", "load_model"),
        (
            "PROGRAM = '''\nimport numpy as np\nnp.load('a')\n'''",
            "in a program that is a text, line 3: numpy.load",
        ),
        ("import numpy as np\nload = np.load\nload('a')", "numpy.load under another name"),
        ("from numpy import load as l\nread = l", "numpy.load under another name"),
        ("import numpy as np\nmap(np.load, files)", "numpy.load under another name"),
        ("import numpy as np\nnp.lib.format.read_array(f)", "read_array without"),
        ("from numpy.lib.format import read_array\nread_array(f)", "read_array without"),
        ("from numpy.lib import format\nread = format.read_array", "read_array under another name"),
        ("import numpy as np\nnp.lib.npyio.NpzFile(f)", "NpzFile without"),
        ("import yaml\nyaml.Loader(f).get_data()", "yaml.Loader, which is no safe loader"),
        ("from yaml import UnsafeLoader as L\nL(f).get_single_data()", "yaml.UnsafeLoader, which is no"),
        ("import yaml\nclass SafeLoader(yaml.Loader): pass\nyaml.load('a', SafeLoader)", "yaml.load without"),
        ("import yaml\nclass Own(yaml.SafeLoader, Lax): pass\nyaml.load('a', Own)", "yaml.load without"),
        ("import yaml\nread = yaml.load", "yaml.load under another name"),
        ("import keras\nkeras.models.model_from_json('a')", "model_from_json"),
        ("from keras.saving import deserialize_keras_object as d\nd({})", "deserialize_keras_object"),
        ("from keras import layers\nlayers.Lambda(f)", "Lambda"),
        ("import keras\nlayer = keras.layers.Lambda", "Lambda under another name"),
        ("import torch\ntorch.load('a')", "torch.load"),
        ("from torch import load\nload('a')", "torch.load"),
        ("import runpy\nrunpy.run_path('a')", "runpy.run_path"),
        ("import builtins\nbuiltins.eval('1')", "calls builtins.eval"),
        ("from builtins import exec as run\nrun('1')", "calls builtins.exec"),
        ("run = eval\nrun('1')", "eval under another name"),
        ("from os import system\nmap(system, ['ls'])", "os.system under another name"),
        ("import importlib\nimportlib.import_module('pickle.x')", "imports pickle.x"),
        ("import subprocess\nsubprocess.run(['sh', '-c', x])", "sh -c: it is a shell"),
        ("command = ('/bin/bash', '-lc', x)", "/bin/bash -lc: it is a shell"),
        ("import os\nos.execlp('sh', 'sh', '-c', x)", "sh -c: it is a shell"),
        ("f'import pickle; {x}'\nP = 'import pickle'", "in a program that is a text"),
    ],
)
def test_the_rules_see_a_breach(source: str, said: str) -> None:
    assert any(said in line for line in offences(source)), offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.load('a', mmap_mode='r', allow_pickle=False)",
        "import yaml\nclass Strict(yaml.SafeLoader): pass\nyaml.load('a', Strict)",
        "import yaml\nyaml.safe_load('a')\nyaml.load('a', Loader=yaml.CSafeLoader)",
        "import json\njson.load(open('a'))",
        "import re\nre.compile('a')\nmodel.compile(loss=None)",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "import subprocess\nsubprocess.run(['sh', 'script'])\nsubprocess.run(['python', '-c', 'pass'])",
        "import numpy as np\nnp.lib.format.read_array(f, allow_pickle=False)\nnp.lib.format.open_memmap('a')",
        "import importlib\nimportlib.import_module('ours.pickle')",
        "import keras\nkeras.callbacks.LambdaCallback()\nself.load(eval_every)\nmodel.extract",
        "'''Words about import pickle, and eval.'''\nfrom ours import extract\nextract('a')",
    ],
)
def test_the_rules_leave_the_rest_alone(source: str) -> None:
    assert offences(source) == []


@pytest.mark.parametrize("name", ["train.npy", "train_labels.npy"])
def test_a_store_unpickles_nothing(tmp_path: Path, trap: Any, name: str) -> None:
    from ebm_tf.datasets.store import Store

    store = Store(write_store(tmp_path / "store", {"train": np.zeros((2, 4, 4, 1), np.uint8)}))
    np.save(store.folder / name, trap, allow_pickle=True)
    read = store.images if name == "train.npy" else store.labels
    with pytest.raises(MissingInput, match=rf"cannot read .*{name}: .*Python objects") as refused:
        read("train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["features.npy", "moments.npz"])
def test_features_unpickle_nothing(tmp_path: Path, trap: Any, name: str) -> None:
    from ebm_tf.evaluation.feature_set import FeatureSet

    write_features(tmp_path / "set")
    assert len(FeatureSet.open(tmp_path / "set")) == 3
    if name == "features.npy":
        np.save(tmp_path / "set" / name, trap, allow_pickle=True)
    else:
        np.savez(tmp_path / "set" / name, count=trap, mean=trap, scatter=trap)
    with pytest.raises(
        MissingInput, match=r"no finished features in .*(Python objects|allow_pickle=False)"
    ) as refused:
        FeatureSet.open(tmp_path / "set")
    assert "\n" not in str(refused.value)


def write_features(folder: Path) -> None:
    """A finished set of three images' features."""
    folder.mkdir()
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(folder / "features.npy", features)
    Moments.of(features).save(folder / "moments.npz")
    extractor = {"name": "e", "version": "1", "sha256": "0" * 64, "input": "none", "features": 2}
    card = {"extractor": {**extractor, "classes": None}, "images": 3, "images_sha256": "0"}
    (folder / "features.json").write_text(json.dumps(card))


@pytest.mark.parametrize("name", ["samples.npz", "samples.npy"])
def test_images_of_others_unpickle_nothing(tmp_path: Path, trap: Any, name: str) -> None:
    file = tmp_path / name
    if name.endswith("z"):
        np.savez(file, images=trap)
    else:
        np.save(file, trap, allow_pickle=True)
    with pytest.raises(MissingInput) as refused:
        list(open_images(file).batches(1))
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
    command = [sys.executable, str(REPOSITORY / "cli.py"), "evaluate", "--samples", str(file)]
    done = subprocess.run([*command, "--reference", str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == f"error: {refused.value}"
    assert "Traceback" not in done.stderr


def test_statistics_of_others_unpickle_nothing(tmp_path: Path, trap: Any) -> None:
    np.savez(tmp_path / "fid.npz", mu=trap, sigma=trap)
    with pytest.raises(ValueError, match=r"fid\.npz, which cannot be read \(.*allow_pickle=False"):
        Published.load(tmp_path / "fid.npz")


def test_the_replay_buffer_unpickles_nothing(tmp_path: Path, trap: Any) -> None:
    from ebm_tf.stages import drawing

    np.savez(tmp_path / "replay.npz", images=trap, labels=trap)
    context: Any = SimpleNamespace(inputs={"TrainEBM": tmp_path})
    with pytest.raises(MissingInput, match=r"cannot read the replay buffer .*allow_pickle=False"):
        drawing._stored_chains(context, np.array([], int))


def test_labels_of_samples_unpickle_nothing(tmp_path: Path, trap: Any) -> None:
    from ebm_tf.stages import evaluate_fid

    np.savez(tmp_path / "fresh.npz", images=np.zeros((1, 4, 4, 1), np.uint8), labels=trap)
    with pytest.raises((MissingInput, ValueError), match="allow_pickle=False"):
        evaluate_fid._labels(tmp_path / "fresh.npz")


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.mkdir [{}]", "!!python/name:os.mkdir", "!!python/object/new:os.mkdir [{}]"],
)
def test_yaml_makes_no_objects(tmp_path: Path, tag: str) -> None:
    config = tmp_path / "config.yaml"
    value = tag.format(tmp_path / "sprung")
    config.write_text(f"name: tiny\nseed: {value}\n")
    with pytest.raises(ConfigError, match=r"not YAML that can be read .*could not determine a constructor"):
        load_experiment(str(config))
    with pytest.raises(ConfigError, match=r"--set seed: the value .* is not YAML that can be read"):
        load_experiment("digits", [f"seed={value}"])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["file", "folder/file", "folder/..file", "to-sibling", "linked/file", "new"])
def test_names_in_a_folder_are_its_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "real/folder").mkdir(parents=True)
    (tmp_path / "real/to-sibling").symlink_to("folder")
    (tmp_path / "real/linked").symlink_to(tmp_path / "real/folder")
    (tmp_path / "link").symlink_to("real")
    for folder in (tmp_path / "real", tmp_path / "link"):
        assert inside(folder, name) == folder / name


@pytest.mark.parametrize(
    "name, said",
    [
        ("../file", "has a relative name without"),
        ("folder/../../file", "has a relative name without"),
        ("folder/../file", "has a relative name without"),
        ("/etc/passwd", "has a relative name without"),
        ("", "has a relative name without"),
        (".", "has a relative name without"),
        ("..", "has a relative name without"),
        ("a//b", "has a relative name without"),
        ("a\0b", "has a relative name without"),
        (7, "has a relative name without"),
        (None, "has a relative name without"),
        ("\ud800", "has a relative name without"),
        ("folder/\udfff.npy", "has a relative name without"),
        ("out", "is a link that leads out of"),
        ("away/file", "is a link that leads out of"),
        ("up/real-too/file", "is a link that leads out of"),
        ("around", "is a link that leads out of"),
        ("itself", "is a link that leads out of"),
    ],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: Any, said: str) -> None:
    folder = tmp_path / "real"
    for place in (folder, tmp_path / "real-too"):
        place.mkdir()
        (place / "file").write_text("")
    (folder / "out").symlink_to("../real-too/file")
    (folder / "away").symlink_to(tmp_path / "real-too")
    (folder / "up").symlink_to("..")
    (folder / "around").symlink_to("out")
    (folder / "itself").symlink_to(".")
    with pytest.raises(MissingInput, match=said) as refused:
        inside(folder, name)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_stores_manifest_and_files_stay_in_it(tmp_path: Path) -> None:
    from ebm_tf.datasets.store import Store

    images = np.zeros((2, 4, 4, 1), np.uint8)
    folder, other = (write_store(tmp_path / name, {"train": images}) for name in ("store", "other"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("../other/train.npy", "/etc/passwd", "sub/../../other/train.npy"):
        (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": {name: "0" * 64}}))
        with pytest.raises(MissingInput, match="has a relative name without"):
            Store(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "train.npy").unlink()
    (folder / "train.npy").symlink_to(other / "train.npy")
    with pytest.raises(MissingInput, match=r"train\.npy is a link that leads out of"):
        Store(folder).images("train")
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(other / "manifest.json")
    with pytest.raises(MissingInput, match=r"manifest\.json is a link that leads out of"):
        Store(folder)
    (tmp_path / "link").symlink_to(other)
    assert len(Store(tmp_path / "link").images("train")) == 2


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"shape": 7}', '{"shape": [8, 8, 1]}', '{"sha256": 7}'])
def test_a_manifest_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    from ebm_tf.datasets.store import Store

    folder = write_store(tmp_path / "store", {"train": np.zeros((2, 4, 4, 1), np.uint8)})
    if text == '{"sha256": 7}':
        text = json.dumps({**json.loads((folder / "manifest.json").read_text()), "sha256": 7})
    (folder / "manifest.json").write_text(text)
    with pytest.raises(MissingInput, match=r"no data set in .*: manifest\.json cannot be read") as refused:
        Store(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["features.json", "features.npy", "moments.npz"])
def test_features_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    from ebm_tf.evaluation.feature_set import FeatureSet

    write_features(tmp_path / "set")
    (tmp_path / "set" / name).rename(tmp_path / name)
    (tmp_path / "set" / name).symlink_to(tmp_path / name)
    with pytest.raises(MissingInput, match=f"{name} is a link that leads out of"):
        FeatureSet.open(tmp_path / "set")


@pytest.fixture
def astray(tmp_path: Path) -> Artifact:
    """An artifact whose record names a file outside of it, with its right size and sha256."""
    artifact = published(tmp_path / "store", "TrainEBM", {"seed": 0})
    params = artifact.params()
    (artifact.folder / "secret.txt").write_bytes((artifact.path / "data.txt").read_bytes())
    params["files"]["../secret.txt"] = params["files"]["data.txt"]
    params["content"] = content_digest(params["files"])
    (artifact.path / "params.json").write_text(json.dumps(params))
    return artifact


def test_a_record_that_names_files_elsewhere_is_refused(astray: Artifact) -> None:
    with pytest.raises(MissingInput, match=r"names a file '\.\./secret\.txt'"):
        astray.complete()
    with pytest.raises(MissingInput, match=r"names a file '\.\./secret\.txt'"):
        astray.verify()
    with pytest.raises(MissingInput, match=r"names a file '\.\./secret\.txt'"):
        astray.read_text("../secret.txt")


def test_a_copy_holds_and_writes_nothing_elsewhere(tmp_path: Path, astray: Artifact) -> None:
    (tmp_path / "given").mkdir()
    with pytest.raises(MissingInput, match=r"names a file '\.\./secret\.txt'"):
        copy_out(astray, tmp_path / "given" / "copy")
    assert list((tmp_path / "given").iterdir()) == []


def test_inputs_in_a_record_do_not_lead_out_of_the_root(tmp_path: Path) -> None:
    """Of another store, from where an ancestor's settings would be taken."""
    theirs = published(tmp_path / "other", "PrepareDataset", {"secret": 1})
    made = published(tmp_path / "store", "TrainEBM", {"seed": 0}, {"PrepareDataset": theirs})
    params = made.params()
    params["inputs"]["PrepareDataset"]["task"] = "../../other/artifacts/PrepareDataset"
    (made.path / "params.json").write_text(json.dumps(params))
    with pytest.raises(MissingInput, match=r"\.\./\.\./other/artifacts/PrepareDataset"):
        lineage(made)


@pytest.mark.parametrize(
    "name", ["..", ".", "../x", "/x", "a/b", "a/../../x", ".hidden", "", "x\n", "a b", "a\0b", "-x", "~"]
)
def test_an_experiment_cannot_be_called_so(tmp_path: Path, name: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"name: {json.dumps(name)}\n")
    with pytest.raises(ConfigError, match="name received"):
        load_experiment(str(config))


@pytest.mark.parametrize("stem", ["..", "..x", "a b", "x-.."])
def test_links_stay_in_the_folder_of_their_experiment(tmp_path: Path, stem: str) -> None:
    """What tells two tasks of one name apart comes from a file's name, and is part of the link's."""
    (tmp_path / "sub").mkdir()
    member = tmp_path / "sub" / f"{stem}.yaml"
    member.write_text("name: other\nseed: 3\n")
    config = tmp_path / "config.yaml"
    members = [{"config": str(tmp_path / "sub/../sub" / f"{stem}.yaml")}, {}]
    config.write_text(json.dumps({"name": "mine", "compose": {"members": members}}))
    root, experiment = tmp_path / "store", load_experiment(str(config))
    for step in all_tasks(experiment, root):
        step.artifact.path.mkdir(parents=True)
    links.refresh(experiment, root)
    assert any(stem in step.title for step in all_tasks(experiment, root))
    assert [path.name for path in (root / "runs").iterdir()] == ["mine"]
    assert {path.name for path in root.iterdir()} == {"artifacts", "runs"}
    for path in (root / "runs/mine").iterdir():
        assert path.is_symlink()
        assert inside(root / "artifacts", path.resolve().relative_to(root / "artifacts").as_posix()).is_dir()


@pytest.mark.parametrize("folder", ["../..", "/tmp", "inception"])
def test_an_archive_is_read_and_not_unpacked(tmp_path: Path, folder: str) -> None:
    archive = tmp_path / "deep/er/inception.tgz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as file:
        link = tarfile.TarInfo(f"first/{GRAPH}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
        member = tarfile.TarInfo(f"{folder}/{GRAPH}")
        member.size = 5
        file.addfile(member, io.BytesIO(b"graph"))
    assert read_graph(archive).graph == b"graph"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


def listening(process: psutil.Process) -> set[str]:
    """Addresses that a process and what it started take connections at."""
    everyone = [process, *process.children(recursive=True)]
    connections = [each for one in everyone for each in one.connections("inet")]
    return {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}


def test_the_scheduler_is_reached_from_this_machine_alone(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "cli.py"), "scheduler", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--state", str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            line = process.stdout.readline()
            assert line, told
            told += line
        assert json.loads(told)["url"].startswith("http://127.0.0.1:")
        assert listening(psutil.Process(process.pid)) == {"127.0.0.1"}
    finally:
        process.kill()
        process.communicate()


def test_tensorboard_is_told_to_be_reached_from_this_machine_alone(tmp_path: Path) -> None:
    from pipelines.commands import serving
    from pipelines.serving.tensorboard import prepare

    (tmp_path / "artifacts").mkdir()
    assert serving.HOST.default == "127.0.0.1"
    url, command = prepare(tmp_path, serving.HOST.default, 0)
    assert url.startswith("http://127.0.0.1:")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "--bind_all" not in command


@pytest.mark.slow
def test_tensorboard_is_reached_from_this_machine_alone(tmp_path: Path) -> None:
    """Of a real one, once it answers."""
    (tmp_path / "artifacts").mkdir()
    command = [
        sys.executable,
        str(REPOSITORY / "cli.py"),
        "tensorboard",
        "--root",
        str(tmp_path),
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = until(lambda: listening(psutil.Process(process.pid)), "a port to listen at", 120)
        assert found == {"127.0.0.1"}
    finally:
        process.kill()
        process.communicate()
