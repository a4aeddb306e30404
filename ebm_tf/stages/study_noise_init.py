"""StudyNoiseInit: training with and without L_KL, of chains from noise and from the buffer (S D.1, figure 1)."""

from __future__ import annotations

from ebm_tf.stages import studying
from ebm_tf.stages.context import Context
from ebm_tf.studies.pictures import save_seed_curves

MEASURED = {
    "energy_difference": "Energy difference",
    "inception_score": "Inception Score",
    "frechet_distance": "Fréchet distance",
}
"""Columns that are drawn, with their titles; the paper has the first two."""
STARTS = {"chains from noise": True, "chains from the buffer": False}


def run(context: Context) -> None:
    found = studying.read(context)
    panels = {}
    for column, title in MEASURED.items():
        drawn = studying.curves(found, column)
        for start, noise in STARTS.items():
            # Without the start, which is the panel's title, cases have one colour in both columns.
            panel = {
                case.split(",")[0]: lines for case, lines in drawn.items() if case.endswith("noise") == noise
            }
            if panel:
                panels[f"{title}, {start}"] = panel
    save_seed_curves(panels, context.out / "curves.png")
    studying.write(
        context,
        found,
        "Inception Score and Frechet distance on the way (curves.png) are of the averaged weights, of fresh chains.",
    )
