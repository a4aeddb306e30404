"""MODEL_CARD.md: what an exported model is, for whoever finds its folder. No TensorFlow.

How good a model's samples are is not known when it is exported, and nothing waits for that. Where it was measured,
`python cli.py export` enters it into the copy that it makes (`with_metrics`).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from ebm_tf import __version__
from ebm_tf.config import Model
from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.rounding import with_interval
from ebm_tf.nested import flat
from ebm_tf.pages import rendered
from ebm_tf.signature import Signature, Tensor

CARD = "MODEL_CARD.md"
NOT_MEASURED = (
    "Not measured when this was written. `python cli.py export` enters the numbers of a finished EvaluateFID of the "
    "same experiment."
)
SOFTWARE = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    Attributes:
        manifest: of the data set (`datasets.store.Manifest`).
        network: settings of the network, of so many parameters.
        data: settings of the data set. trained: params.json of the training.
        fingerprint: of the export.
        differences: largest relative ones between the export and the model, by name.
    """

    signature: Signature
    manifest: Any
    network: Model
    parameters: int
    data: Mapping[str, Any]
    trained: Mapping[str, Any]
    fingerprint: str
    differences: Mapping[str, float]


def model_card(facts: Facts) -> str:
    """The text of the card; it depends on what was made and with what, and on no clock."""
    signature = facts.signature
    values = {
        **vars(facts),
        "classes": signature.classes,
        "shape": signature.images.shape,
        "metrics": NOT_MEASURED,
        "rest_example": _request(signature),
        "made_with": _versions(),
        "settings": sorted(flat({**facts.data, **facts.trained["settings"]})),
    }
    return rendered("model_card.md.jinja", values, escaped=False, plain=plain, tensors=_tensors)


def with_metrics(card: str, metrics: Mapping[str, Any], source: str) -> str:
    """The card with what EvaluateFID found.

    Args:
        metrics: its metrics.json. source: what the numbers are taken from.

    Raises:
        MissingInput: the card has no place for it.
    """
    if card.count(NOT_MEASURED) != 1:
        raise MissingInput(
            f"{CARD} was changed, and has no place for metrics; rebuild it with --force ExportModel"
        )
    return card.replace(NOT_MEASURED, "\n".join(_measured(metrics, source)))


def plain(value: Any) -> str:
    """Any value as text that means nothing in Markdown and HTML, on one line."""
    text = " ".join(str(value).split())
    for sign, shown in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("*", "\\*"), ("[", "\\[")):
        text = text.replace(sign, shown)
    return text


def _measured(metrics: Mapping[str, Any], source: str) -> Iterable[str]:
    titles, intervals = metrics["titles"], metrics["intervals"]
    yield f"By {source}. Numbers compare with those of the same protocol only, which is below the table."
    yield ""
    yield "| metric | " + " | ".join(map(plain, titles.values())) + " |"
    yield "| --- |" + " --- |" * len(titles)
    for metric, values in metrics.items():
        if _is_by_row(values, titles) and not metric.endswith("_spread"):
            cells = [with_interval(values.get(row), intervals.get(row, {}).get(metric)) for row in titles]
            yield f"| {metric} | " + " | ".join(cells) + " |"
    confidence = metrics["protocol"].get("intervals", {}).get("confidence")
    yield ""
    if confidence is not None:
        yield f"In brackets: intervals at {confidence:g}."
    for warning in metrics["warnings"]:
        yield plain(warning)
    yield from ("", "```json", json.dumps(metrics["protocol"], indent=2), "```")


def _is_by_row(values: Any, titles: Mapping[str, str]) -> bool:
    return (
        isinstance(values, Mapping)
        and bool(values)
        and set(values) <= set(titles)
        and any(isinstance(value, float) for value in values.values())
        and all(value is None or isinstance(value, (int, float)) for value in values.values())
    )


def _tensors(tensors: Mapping[str, Tensor]) -> str:
    """Such as `images` float32 [n, 8, 8, 1]."""
    return ", ".join(
        f"`{name}` {tensor.dtype}" + (f" [{', '.join('n' if size is None else str(size) for size in tensor.shape)}]"
        if tensor.shape else "")
        for name, tensor in tensors.items()
    )  # fmt: skip


def _request(signature: Signature) -> str:
    """What asks TensorFlow Serving for four samples."""
    what: dict[str, Any] = {"labels": [0, 0, 1, 1]} if signature.classes else {"count": 4}
    return json.dumps(
        {"signature_name": "sample", "inputs": {**what, "steps": signature.chain.steps, "seed": 1}}
    )


def _versions() -> dict[str, str]:
    found = {name: metadata.version(name) for name in SOFTWARE}
    return {"ebm-tf": __version__, "Python": platform.python_version(), **found}
