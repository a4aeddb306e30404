"""StudyCollapse: how diverse samples are with both terms of L_KL, either, and neither (S D.3, figure 8)."""

from __future__ import annotations

from ebm_tf.stages import studying
from ebm_tf.stages.context import Context
from ebm_tf.studies.claims_of_studies import DIVERSITY
from ebm_tf.studies.evidence import KINDS
from ebm_tf.studies.pictures import save_points, save_seed_curves

CURVES = {
    "energy_difference": "Energy difference",
    "frechet_distance": "Fréchet distance",
    "inception_score": "Inception Score",
}


def run(context: Context) -> None:
    found = studying.read(context)
    real = studying.write(
        context,
        found,
        "Diversity of the samples beside that of real test images, by class entropy, recall and mean distances: "
        "diversity.png.",
    )
    points, marks = {}, {}
    for kind, words in KINDS.items():
        for metric, title in DIVERSITY.items():
            named = f"{title.capitalize()},\nsamples {words}"
            points[named] = {
                case: [value for one in of_case if (value := one.of_samples(metric, kind)) is not None]
                for case, of_case in found.items()
            }
            if (value := real[metric]) is not None:
                marks[named] = value
    if shown := {title: cases for title, cases in points.items() if any(cases.values())}:
        save_points(shown, marks, context.out / "diversity.png")
    drawn = {title: studying.curves(found, column) for column, title in CURVES.items()}
    save_seed_curves({title: panel for title, panel in drawn.items() if panel}, context.out / "curves.png")
