"""ReproducePaper: every table, figure and claim of the supplementary, the paper's value beside ours, and a verdict.

report.html is one self-contained page; report.md has its words and tables, metrics.json the rows and their counts.
Verdicts are made by rules that look at the numbers (`ebm_tf/studies/rules.py` and claims_of_*.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ebm_tf.pages import embedded, rendered
from ebm_tf.stages.context import Context
from ebm_tf.stages.studying import COLUMNS
from ebm_tf.studies import claims_of_images, claims_of_method
from ebm_tf.studies.rules import FAILS, HOLDS, INCOMPARABLE, NOT_RUN, OPEN, VERDICTS, Row

STUDIES = {"StudyNoiseInit": "S D.1", "StudyTruncation": "S D.2", "StudyCollapse": "S D.3"}
MEASURED = (
    "EvaluateFID",
    "CompareModels",
    "RetrieveNeighbours",
    "EvaluateOOD",
    "ComposeModels",
    "TrainEBM",
    *STUDIES,
)
"""Inputs whose metrics.json is read."""
TOLD = (HOLDS, FAILS, OPEN)
"""Verdicts whose claims are written out above the table."""
CLASSES = {HOLDS: "holds", FAILS: "fails", OPEN: "open", INCOMPARABLE: "other", NOT_RUN: "other"}
"""Of the page's style."""
PICTURES = {
    "StudyNoiseInit/curves.png": ("figure 1", "With and without L_KL over training; a thin line for each seed."),
    "RetrieveNeighbours/neighbours.png": ("figure 2", "Samples, each with the training images nearest to it."),
    "GenerateSamples/fresh.png": ("figures 3 to 5", "Samples made from noise alone; the first ones, not chosen."),
    "ReferenceStatistics/real_test.png": ("figures 3 to 5", "Real test images, for comparison."),
    "StudyTruncation/fresh.png": ("figures 6 and 7", "Samples from noise, by steps that L_KL goes back through."),
    "StudyTruncation/curves.png": ("S D.2", "Distance over steps and over time, a thin line for each seed."),
    "StudyCollapse/buffer.png": ("figure 8", "Samples from the buffer, by terms of L_KL; the first, not chosen."),
    "StudyCollapse/diversity.png": ("S D.3", "Diversity of each seed's samples, and their mean."),
    "StudyCollapse/curves.png": ("S D.3", "The same trainings on their way."),
    "CompareModels/comparison.png": ("S A.2", "Samples of the energy model and of the SNGAN, not chosen."),
    "EvaluateOOD/energies.png": ("main paper", "Energies of test images and of images of other kinds."),
    "ComposeModels/samples.png": ("main paper", "Samples of energies put together, and of each alone."),
}  # fmt: skip
"""Which figure of the paper each stands for, and what it shows; of compositions only where one was asked for."""
WITH_LETTERS = ("curves.png", "diversity.png", "neighbours.png", "energies.png")


def run(context: Context) -> None:
    context.progress(0, 2, "deciding")
    metrics = {task: context.read_json(task, "metrics.json") for task in context.inputs if task in MEASURED}
    rows = list(_rows(context, metrics))
    context.progress(1, 2, "writing the report")
    values = _values(context, metrics, rows)
    for name, template, escaped in (
        ("report.html", "reproduction.html", True),
        ("report.md", "reproduction.md.jinja", False),
    ):
        (context.out / name).write_text(rendered(template, values, escaped), encoding="utf-8")
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in VERDICTS}
    claims = [row._asdict() for row in rows]
    context.write_json("metrics.json", {"counts": counts, "seconds": values["seconds"], "claims": claims})
    (context.out / "summary.txt").write_text(summary(rows, values["duration"]), encoding="utf-8")


def summary(rows: list[Row], duration: str) -> str:
    """What holds and what does not, for people."""
    lines = []
    for verdict, meaning in VERDICTS.items():
        said = [row for row in rows if row.verdict == verdict]
        lines.append(f"{verdict}: {len(said)} of {len(rows)} ({meaning})")
        if verdict in TOLD:
            lines += [f"  {row.claim} ({row.place}): {row.ours}" for row in said]
    return "\n".join([*lines, "", f"All of it took {duration} of building. The page is report.html."]) + "\n"


def _rows(context: Context, metrics: dict[str, Any]) -> Iterator[Row]:
    """In the order of the supplementary, then the main paper's."""
    numbers = claims_of_images.Numbers(
        context.settings["dataset"]["name"],
        metrics["EvaluateFID"],
        metrics["CompareModels"],
        metrics["RetrieveNeighbours"],
        metrics["EvaluateOOD"],
        metrics.get("ComposeModels"),
        metrics["StudyTruncation"]["cases"],
    )
    of_images = list(claims_of_images.rows(numbers))
    yield from (row for row in of_images if row.place.startswith("S A"))
    yield from claims_of_method.rows(context.settings)
    for study, place in STUDIES.items():
        yield from (Row(**claim) for claim in metrics[study]["claims"])
        yield from (row for row in of_images if row.place.startswith(place))
    yield from (row for row in of_images if row.place == claims_of_images.MAIN)


def _values(context: Context, metrics: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """What the templates show."""
    records = {task: context.read_json(task, "params.json") for task in context.inputs}
    seconds = _seconds(records, [metrics[study]["seconds"] for study in STUDIES])
    collapse = metrics["StudyCollapse"]
    return {
        "manifest": context.read_json("PrepareDataset", "manifest.json"),
        "training": metrics["TrainEBM"],
        "seeds": collapse["seeds"],
        "planned_steps": collapse["planned_steps"],
        "confidence": collapse["confidence"],
        "seconds": seconds,
        "duration": f"{seconds / 60:.1f} minutes",
        "verdicts": VERDICTS,
        "told": TOLD,
        "classes": CLASSES,
        "rows": rows,
        "columns": COLUMNS,
        "studies": [
            {"task": study, "place": place, "cases": metrics[study]["cases"]}
            for study, place in STUDIES.items()
        ],
        "pictures": list(_pictures(context)),
        "records": records,
        "extractor": metrics["EvaluateFID"]["protocol"]["extractor"],
    }


def _seconds(records: Mapping[str, Any], of_studies: Sequence[Mapping[str, float]]) -> float:
    """What building took, each artifact counted once: the inputs, and the trainings that studies share."""
    own = {record["fingerprint"]: record["seconds"] for record in records.values()}
    shared = {name: seconds for study in of_studies for name, seconds in study.items()}
    return round(sum(own.values()) + sum(shared.values()), 1)


def _pictures(context: Context) -> Iterator[dict[str, Any]]:
    for path, (place, words) in PICTURES.items():
        task, file = path.split("/")
        if task in context.inputs and (picture := context.inputs[task] / file).is_file():
            drawn = file in WITH_LETTERS or task in STUDIES or task == "CompareModels"
            yield {"task": task, "place": place, "words": words, "data": embedded(picture), "drawn": drawn}
