"""What the supplementary says in B and C, held against the settings of this experiment, and against arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ebm_tf.config import Model
from ebm_tf.models.architectures import (
    Attention,
    Blocks,
    Conv,
    Residual,
    ResidualDown,
    architecture,
    layer_options,
)
from ebm_tf.nested import flat
from ebm_tf.studies.gradient import gaussian_gradients
from ebm_tf.studies.rules import FAILS, HOLDS, NOT_RUN, Row

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "table1": (
        "S table 1",
        (
            "conv 64", "res 64", "down 64", "res 64", "down 64", "attention 64", "res 128", "down 128", "res 256",
            "down 256",
        ),
    ),
    "table2": (
        "S table 2",
        ("conv 64", "down 64", "down 128", "down 128", "res 256", "down 256", "attention 512", "res 512", "down 512"),
    ),
}  # fmt: skip
"""The blocks between image and mean pooling as the tables print them: a convolution's channels, and those that the
others see."""
SETTINGS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "CIFAR-10, ImageNet 32x32": (
        ("cifar10", "imagenet_resized/32x32"),
        {
            "langevin.steps": 40, "langevin.step_size": 500, "langevin.noise_scale": 0.001,
            "augmentation.colour_strength": 1, "augmentation.flip": True, "augmentation.crop_area": 0.02,
        },
    ),
    "CelebA-HQ, LSUN bedrooms": (
        ("celeb_a_hq/128", "lsun/bedroom"),
        {
            "langevin.steps": 40, "langevin.step_size": 1000, "langevin.noise_scale": 0.001,
            "augmentation.colour_strength": 1, "augmentation.flip": True, "augmentation.crop_area": 0.08,
        },
    ),
}  # fmt: skip
"""S B.2, by what it is of: data sets by their names here, and the settings."""
EQUAL = 1e-6
"""How far two gradients of order 0.1 may be apart to count as equal: more than differences of NUDGE cost."""


def rows(settings: Mapping[str, Any]) -> Iterator[Row]:
    """Those of B.1, B.2 and C.

    Args:
        settings: the experiment's sections dataset, model, langevin, augmentation.
    """
    model = Model(**settings["model"])
    for name, (place, blocks) in TABLES.items():
        yield _of_table(model, name, place, blocks)
    yield _of_scales(model)
    for title, (datasets, wanted) in SETTINGS.items():
        yield _of_settings(settings, title, datasets, wanted)
    yield _of_gradient()


def printed(blocks: Blocks) -> list[str]:
    """The blocks up to the pooling, as the paper's tables would print them."""
    channels, lines = 0, []
    for block in blocks:
        if isinstance(block, Conv):
            channels = block.width
            lines.append(f"conv {channels}")
        elif isinstance(block, Residual):
            lines.append(f"res {channels}")
        elif isinstance(block, Attention):
            lines.append(f"attention {channels}")
        elif isinstance(block, ResidualDown):
            lines.append(f"down {channels}")
            channels = block.width
    return lines


def _of_table(model: Model, name: str, place: str, table: tuple[str, ...]) -> Row:
    """An attention is as wide as what it sees, whatever number a table gives it."""
    ours = printed(architecture(name).blocks)
    unlike = [f"{theirs} in the table is {own} here" for theirs, own in zip(table, ours) if theirs != own] + (
        [] if len(ours) == len(table) else [f"{len(table)} blocks in the table, {len(ours)} here"]
    )
    serious = [words for words in unlike if not words.startswith("attention")]
    told = f"{name}: {', '.join(ours)}"
    differs = f"; {'; '.join(unlike)} (it keeps the channels that it sees)" if unlike else ""
    if model.architecture != name:
        why = f"This experiment's network is {model.architecture}; {name} has the table's blocks{differs}."
        verdict = NOT_RUN
    else:
        verdict = FAILS if serious else HOLDS
        why = f"This experiment's network is {name}, block by block{differs}."
    if serious:
        why = f"{name} has not the table's blocks: {'; '.join(serious)}."
    return Row(f"S B.1, {place[2:]}", f"The network of {place[2:]}", ", ".join(table), told, verdict, why)


def _of_scales(model: Model) -> Row:
    options = layer_options(model.model_copy(update={"conditional": False}))
    alike = model.scales == 3 and options.norm == "group" and model.drop == "first"
    return Row(
        "S B.1",
        "Energies of full, half and quarter resolution are added up; residual blocks have group normalization",
        "3 scales, the first down blocks removed from the coarser ones; group norm",
        f"{model.scales} scale{'s' if model.scales > 1 else ''}, norm {options.norm}",
        HOLDS if alike else NOT_RUN,
        "This experiment has the paper's." if alike else "This experiment is set otherwise.",
    )


def _of_settings(
    settings: Mapping[str, Any], title: str, datasets: tuple[str, ...], wanted: Mapping[str, float]
) -> Row:
    known = dict(flat(settings))
    found = {path: known[path] for path in wanted}
    unlike = [path for path in wanted if found[path] != wanted[path]]
    name = settings["dataset"]["name"]
    if name not in datasets:
        verdict, why = NOT_RUN, f"This experiment is of {name}."
    elif unlike:
        verdict, why = FAILS, f"This experiment has another {' and another '.join(unlike)}."
    else:
        verdict, why = HOLDS, "This experiment has the same settings."
    return Row("S B.2", f"The settings of {title}", _as_words(wanted), _as_words(found), verdict, why)


def _of_gradient() -> Row:
    whole, contrastive, kl = gaussian_gradients()
    total, less = contrastive + kl, contrastive - kl
    verdict = HOLDS if abs(whole - total) <= EQUAL else FAILS
    minus = (
        " With a minus sign before equation 10 it is the whole gradient."
        if abs(whole - less) <= EQUAL
        else ""
    )
    return Row(
        "S C, equations 4 to 10",
        "The gradients of L_CD (equation 6) and L_KL (equation 10) add up to that of the full contrastive divergence",
        "equal",
        f"{whole:.4f} in full; {contrastive:.4f} + {kl:.4f} = {total:.4f}",
        verdict,
        f"Of a Gaussian energy, for which all three have a closed form.{minus} Training adds L_KL all the same, as "
        "the paper's does: it teaches the chain to reach low energies and to spread out.",
    )


def _as_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{path.split('.')[1]} {_plain(value)}" for path, value in values.items())


def _plain(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:g}"
