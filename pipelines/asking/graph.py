"""The tasks of an experiment as a graph: what each reads, and how its artifact is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.asking.inspect import condition
from pipelines.stage_task import StageTask

DOT_COLOURS = {
    "whole": "palegreen",
    "missing": "white",
    "damaged": "salmon",
    "stale": "khaki",
    "in work": "lightskyblue",
}
"""Names that Graphviz and SVG share; by state of the artifact."""


class Node(NamedTuple):
    """A task; `key` tells it from all others, `state` is that of its artifact, as `status` says it."""

    key: str
    task: str
    fingerprint: str
    state: str
    note: str


class Edge(NamedTuple):
    """An input: the key of the task that makes it, that of the one that reads it, and how the latter calls it."""

    source: str
    target: str
    input: str


class Graph(NamedTuple):
    """Tasks, each after those that it needs, and their inputs."""

    nodes: list[Node]
    edges: list[Edge]

    @property
    def ends(self) -> list[Node]:
        """The tasks that no other one reads."""
        sources = {edge.source for edge in self.edges}
        return [node for node in self.nodes if node.key not in sources]

    def inputs_of(self, node: Node) -> list[Node]:
        """The tasks that a task reads, in its order."""
        nodes = {known.key: known for known in self.nodes}
        sources = dict.fromkeys(edge.source for edge in self.edges if edge.target == node.key)
        return [nodes[source] for source in sources]


def graph_of(steps: Sequence[StageTask]) -> Graph:
    """The graph of tasks among which are all that they stand on."""
    nodes = [Node(step.key, step.title, step.fingerprint, *condition(step)) for step in steps]
    edges = [
        Edge(upstream.key, step.key, name) for step in steps for name, upstream in step.sources().items()
    ]
    return Graph(nodes, edges)


def as_dot(graph: Graph, name: str) -> str:
    """The graph in Graphviz's language; data flow from left to right, the colour of a task is its state.

    Args:
        name: title of the graph.
    """
    lines = [
        f"digraph {_quoted(name)} {{",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"];',
    ]
    for node in graph.nodes:
        label = "\\n".join(map(_escaped, (node.task, node.fingerprint[:16], node.state)))
        lines.append(f'  {_quoted(node.key)} [label="{label}", fillcolor={DOT_COLOURS[node.state]}];')
    pairs = dict.fromkeys((edge.source, edge.target) for edge in graph.edges)
    lines += [f"  {_quoted(source)} -> {_quoted(target)};" for source, target in pairs]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
