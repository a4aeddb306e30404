"""StudyTruncation: L_KL through the last step of the chain, the last m, and all of them (S D.2, figures 6 and 7)."""

from __future__ import annotations

from ebm_tf.stages import studying
from ebm_tf.stages.context import Context
from ebm_tf.studies.evidence import Training
from ebm_tf.studies.pictures import Curve, save_seed_curves


def run(context: Context) -> None:
    found = studying.read(context)
    distances = studying.curves(found, "frechet_distance")
    panels = {
        "Fréchet distance over steps": distances,
        "Fréchet distance over seconds of training": {
            title: [_over_seconds(*pair) for pair in zip(lines, found[title])]
            for title, lines in distances.items()
        },
        "Energy difference over steps": studying.curves(found, "energy_difference"),
        "Inception Score over steps": studying.curves(found, "inception_score"),
    }
    save_seed_curves({title: panel for title, panel in panels.items() if panel}, context.out / "curves.png")
    studying.write(
        context,
        found,
        "The first case is through the last step alone. Milliseconds: the median over training, without compilation "
        "and evaluations; memory is the most that the process held, libraries and evaluations with it.",
    )


def _over_seconds(curve: Curve, training: Training) -> Curve:
    """The same over the time that the steps took."""
    return curve._replace(steps=curve.steps * (training.milliseconds_per_step or 0.0) / 1e3)
