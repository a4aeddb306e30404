"""The graph of tasks, as a tree, as an object, and for Graphviz."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ebm_tf.config_files import load_experiment
from pipelines.asking.graph import Edge, Graph, Node, as_dot, graph_of
from pipelines.commands.answers import show_graph
from pipelines.trees import all_tasks, tree
from tests.pipelines.built import build_all, step
from tests.pipelines.told import told

STRING = r'"(?:[^"\\]|\\.)*"'
HEAD = re.compile(rf"digraph {STRING} {{")
STATEMENTS = (
    re.compile(r"  rankdir=LR;"),
    re.compile(rf"  node \[shape=box, style={STRING}, fontname={STRING}\];"),
    re.compile(rf"  (?P<node>{STRING}) \[label=(?P<label>{STRING}), fillcolor=(?P<colour>[a-z]+)\];"),
    re.compile(rf"  (?P<source>{STRING}) -> (?P<target>{STRING});"),
)


def read_dot(text: str) -> list[dict[str, str]]:
    """The statements of a graph, of which every line has to be one."""
    head, *lines, end, nothing = text.split("\n")
    assert HEAD.fullmatch(head)
    assert (end, nothing) == ("}", "")
    found = []
    for line in lines:
        matches = [match for pattern in STATEMENTS if (match := pattern.fullmatch(line))]
        assert len(matches) == 1, line
        found.append(matches[0].groupdict())
    return found


def test_nodes_and_edges_are_those_of_the_tasks(tmp_path: Path) -> None:
    samples = step(tmp_path, "GenerateSamples", "selection.every=0")
    model, images = samples.sources()["TrainEBM"], samples.sources()["PrepareDataset"]
    build_all(model)
    found = graph_of(tree(samples))
    assert [(node.key, node.state) for node in found.nodes] == [
        (images.key, "whole"),
        (model.key, "whole"),
        (samples.key, "missing"),
    ]
    assert set(found.edges) == {
        Edge(images.key, model.key, "PrepareDataset"),
        Edge(images.key, samples.key, "PrepareDataset"),
        Edge(model.key, samples.key, "TrainEBM"),
    }


def test_what_was_shown_with_its_inputs_is_referred_to(tmp_path: Path) -> None:
    evaluated = step(tmp_path, "EvaluateFID")
    lines = told(show_graph, graph_of(tree(evaluated))).splitlines()
    assert lines[0] == f"EvaluateFID {evaluated.fingerprint[:16]} missing"
    assert sum("TrainFeatureExtractor (above)" in line for line in lines) >= 1
    for task in tree(evaluated):
        if task.requires():
            assert sum(f"{task.name()} {task.fingerprint[:16]} missing" in line for line in lines) == 1


def test_every_task_of_an_experiment_is_in_its_graph(tmp_path: Path) -> None:
    steps = all_tasks(load_experiment("digits"), tmp_path)
    text = told(show_graph, graph_of(steps))
    assert all(f"{task.title} {task.fingerprint[:16]}" in text for task in steps)


def test_the_graph_for_graphviz_has_every_task_with_the_colour_of_its_state(tmp_path: Path) -> None:
    build_all(step(tmp_path, "PrepareDataset"))
    steps = all_tasks(load_experiment("digits"), tmp_path)
    statements = read_dot(as_dot(graph_of(steps), "digits"))
    colours = {each["node"].strip('"'): each["colour"] for each in statements if "node" in each}
    assert set(colours) == {task.key for task in steps}
    assert colours.pop(step(tmp_path, "PrepareDataset").key) == "palegreen"
    assert set(colours.values()) == {"white"}
    pairs = {
        (each["source"].strip('"'), each["target"].strip('"')) for each in statements if "source" in each
    }
    assert pairs == {(below.key, task.key) for task in steps for below in task.requires()}


def test_names_with_quotes_and_backslashes_stay_one_string() -> None:
    odd = 'ComposeModels (a "b" \\n c\\)'
    graph = Graph([Node("A/1", odd, "f" * 64, "stale", ""), Node('B/"', "B", "e" * 64, "damaged", "")], [])
    first, second = (each for each in read_dot(as_dot(graph, 'x "y" \\')) if "node" in each)
    lines = re.split(r"(?<!\\)(?:\\\\)*\\n", first["label"][1:-1])
    assert lines[0].replace('\\"', '"').replace("\\\\", "\\") == odd
    assert (first["colour"], second["colour"]) == ("khaki", "salmon")


def test_the_command_gives_all_three_forms(lab: Any) -> None:
    found = lab.answer("graph", "TrainEBM")
    assert (found["status"], found["experiment"]) == ("done", "tiny")
    assert [(node["task"], node["state"]) for node in found["nodes"]] == [
        ("PrepareDataset", "missing"),
        ("TrainEBM", "missing"),
    ]
    (edge,) = found["edges"]
    assert [edge["source"], edge["target"]] == [node["key"] for node in found["nodes"]]
    read_dot(lab.run("graph", "TrainEBM", "--dot").stdout)
    both = lab.run("graph", "--dot", "--json")
    assert (both.returncode, "give one of them" in both.stderr) == (2, True)
    assert not lab.root.exists()
