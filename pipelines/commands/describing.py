"""Commands that tell of configs, networks and this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ebm_tf.errors import MissingInput
from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, print_json


def configs(
    name: str = typer.Argument("", help="Config to show whole."),
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """List the shipped configs, or every setting of one."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config import describe_settings
        from ebm_tf.config_files import available_configs, config_headline, load_experiment
        from pipelines.commands.display import table

        if not name:
            found = {known: config_headline(path) for known, path in available_configs().items()}
            if as_json:
                print_json(found)
            else:
                data.print(table(("config", "what it is"), found.items()))
            return
        values = load_experiment(name).model_dump(mode="json")
        if as_json:
            print_json(values)
            return
        rows = [
            (setting.path, value_at(values, setting.path), setting.type, setting.description)
            for setting in describe_settings()
        ]
        data.print(table(("setting", "value", "allowed", "meaning"), rows))


def model(
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show the network of an experiment: layers, shapes, parameters and multiply-adds of one image's energy."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from ebm_tf.datasets.registry import classes_of, image_shape_of
        from ebm_tf.models.summary import summarise
        from pipelines.commands.display import show_network

        experiment = load_experiment(config, settings)
        classes = classes_of(experiment.dataset) if experiment.model.conditional else 0
        if classes is None:
            raise MissingInput(
                f"the classes of {experiment.dataset.name} are known from the files in dataset.path alone, and "
                f"{experiment.dataset.path} is not there; a conditional network grows with them"
            )
        summary = summarise(experiment.model, image_shape_of(experiment.dataset), classes)
        if as_json:
            print_json(asdict(summary))
        else:
            show_network(summary, data)


def doctor(root: Path = options.ROOT, as_json: bool = options.JSON, debug: bool = options.DEBUG) -> None:
    """Look at this machine: versions, devices, disk, data sets."""
    with errors_as_lines(None, as_json, debug):
        from pipelines.asking.doctor import examine
        from pipelines.commands.display import table

        found = examine(root)
        if as_json:
            print_json(found)
        else:
            data.print(table(("what", "found"), machine_in_words(found)))


def machine_in_words(found: dict[str, Any]) -> list[tuple[str, object]]:
    """A row for each thing that the doctor found; what could not be found out stands as the reason."""
    devices, datasets = found["devices"], found["datasets"]
    if isinstance(devices, list):
        devices = ", ".join(device["name"].removeprefix("/physical_device:") for device in devices) or "none"
    known = isinstance(datasets, dict)
    licences = [(f"data set {name}", f"licence: {datasets[name]}") for name in (datasets if known else ())]
    return [
        *((f"{name} version", version) for name, version in found["versions"].items()),
        ("host", found["host"]),
        ("cores", found["cores"]),
        ("devices", devices),
        ("free disk", f"{found['free_disk_mb']} MiB"),
        *(licences if known else [("data sets", datasets)]),
        *((f"artifacts of {task}", ", ".join(short) or "none") for task, short in found["weights"].items()),
    ]


def value_at(values: Any, path: str) -> Any:
    """The value at "section.key"."""
    for key in path.split("."):
        values = values[key]
    return values
