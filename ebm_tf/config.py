"""The typed experiment: every setting with its unit, range, default and meaning.

The ground floor: this module imports nothing of ours, and no TensorFlow. `config_files.py` fills it from YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo


def _absolute(path: Any) -> Any:
    """A path as it is from everywhere, so that a result is not taken for that of another file of the same name."""
    if isinstance(path, (str, int, float)) and not isinstance(path, bool) and path != "":
        return str(Path(str(path)).expanduser().absolute())
    return path


AbsolutePath = Annotated[Optional[str], BeforeValidator(_absolute)]


class Section(BaseModel):
    """A group of settings: immutable, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take `true` for 1."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError(f"{info.field_name} received {str(value).lower()}: give {range_of(field)}")
        return value


DatasetName = Literal[
    "digits",
    "digits_stroke",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "cifar100",
    "svhn_cropped",
    "dtd",
    "imagenet_resized/32x32",
    "celeb_a_hq/128",
    "lsun/bedroom",
    "idx",
    "folder",
]
DATASET_NAMES: tuple[str, ...] = get_args(DatasetName)


class Dataset(Section):
    """Which images are learned, and how they are cut to one size."""

    name: DatasetName = Field(
        "digits",
        description="Data set, by its TFDS name (a row of ebm_tf/datasets/registry.py). digits: scikit-learn's 1797 "
        "8x8 scans, no download; digits_stroke: the same, labelled by amount of ink; idx: a folder of MNIST-like "
        "IDX files; folder: your own images.",
    )
    path: AbsolutePath = Field(
        None, description="Folder of the files of idx and folder; the other sets take none."
    )
    size: Optional[int] = Field(
        None,
        ge=4,
        le=1024,
        description="Height and width in pixels that images are brought to; by default the data set's own.",
    )
    crop: Literal["centre", "stretch", "tiles"] = Field(
        "centre",
        description="How an image is brought to that size. centre: its largest central square, shrunk by area; "
        "stretch: the whole of it; tiles: every whole square of that size, unscaled.",
    )
    colour: Literal["native", "grey", "rgb"] = Field(
        "native", description="Channels: as the data set has them, one, or three."
    )
    test_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the files of a folder without train/ and test/ that are held out.",
    )
    limit: Optional[int] = Field(
        None, ge=2, description="Images used of each split, its first ones; by default all."
    )

    @model_validator(mode="after")
    def _path_where_needed(self) -> Dataset:
        if self.name in ("idx", "folder") and not self.path:
            raise ValueError(
                f"dataset.name is {self.name}, which needs dataset.path, the folder of its files"
            )
        if self.name not in ("idx", "folder") and self.path:
            raise ValueError(
                f"dataset.path is {self.path!r}, but {self.name} has no files of yours; give "
                "dataset.name=folder or idx, or no path (downloads live in compute.data_dir)"
            )
        return self


class Model(Section):
    """The energy network."""

    architecture: Literal["tiny", "small", "mnist", "table1", "table2", "table2_code"] = Field(
        "tiny",
        description="Network, by its name in ebm_tf/models/architectures.py. tiny: for 8x8 images; small: for 28x28, "
        "on a CPU; mnist: 28x28, the authors'; table1: 32x32 (S table 1); table2, table2_code: 128x128 (S table 2, "
        "and with the sixth down of the authors' code).",
    )
    width: float = Field(
        1.0,
        gt=0,
        le=8,
        description="Factor on the number of channels of every layer; rounded, with group norm from `groups` "
        "channels on to a multiple of them.",
    )
    scales: int = Field(
        1, ge=1, le=3, description="Energies that are added up: full, half and quarter resolution (S B.1)."
    )
    drop: Literal["first", "last"] = Field(
        "first",
        description="What the coarser scales do without: the first down block each (S), or the last stage each, a "
        "down block and what stands between it and the one before (Code).",
    )
    norm: Optional[Literal["group", "instance", "none"]] = Field(
        None, description="Normalisation in residual blocks; by default the architecture's (paper: group)."
    )
    groups: int = Field(32, ge=1, le=1024, description="Groups of group norm, at most one per channel.")
    skip: bool = Field(True, description="Whether residual blocks add their input.")
    downsample: Literal["average", "blur"] = Field(
        "average", description="Shrinking by the mean of 2x2 pixels, or after a binomial blur (anti-aliased)."
    )
    weight_standardisation: bool = Field(
        False, description="Kernels of residual blocks are used with mean 0 and variance 1/fan-in."
    )
    spectral_norm: bool = Field(
        False, description="Kernels are divided by an estimate of their largest singular value."
    )
    conditional: bool = Field(False, description="The energy also takes the label of the image.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of what convolutions multiply. bfloat16 is about twice as fast on processors that have it, and "
        "slower on others; everything else, sums, norms, energies and chains among it, stays in float32.",
    )
    init_gain: Optional[float] = Field(
        None,
        gt=0,
        le=10,
        description="Kernels start as N(0, gain^2 / fan-in), biases at 0; by default the architecture's (tiny and "
        "small: 1.4, the others: 0.577, PyTorch's).",
    )


class Langevin(Section):
    """The chain that draws negative samples (x <- clip(x + noise - step_size * dE/dx, 0, 1))."""

    steps: int = Field(40, ge=1, le=10_000, description="K, Langevin steps from a chain's start to a sample.")
    step_size: float = Field(
        500.0, gt=0, le=1e6, description="Lambda, pixels (0..1) moved per unit of energy gradient."
    )
    noise_scale: float = Field(
        0.001, ge=0, le=1, description="Sigma, standard deviation in pixels (0..1) of the noise of each step."
    )
    backprop_steps: int = Field(
        1, ge=1, le=10_000, description="m, last steps that the KL term is differentiated through (1 to K)."
    )
    anneal: bool = Field(False, description="Noise of step k scaled by (K - k) / K, so that it fades out.")
    gradient_clip: Optional[float] = Field(
        None, gt=0, description="Largest absolute value of a component of dE/dx; by default there is none."
    )
    init: Literal["replay", "noise"] = Field(
        "replay", description="Where chains start: the replay buffer, or always uniform noise (S D.1)."
    )

    @model_validator(mode="after")
    def _tail_within_chain(self) -> Langevin:
        if self.backprop_steps > self.steps:
            raise ValueError(
                f"langevin.backprop_steps is {self.backprop_steps}, more than langevin.steps ({self.steps}); "
                f"give 1 to {self.steps}"
            )
        return self


class Replay(Section):
    """The buffer of past negative samples from which chains start."""

    capacity: int = Field(10_000, ge=1, le=10_000_000, description="Images kept, uint8.")
    policy: Literal["fifo", "reservoir"] = Field(
        "fifo",
        description="fifo replaces the oldest image; reservoir keeps a uniform sample of all images ever added "
        "(it goes stale on long runs).",
    )
    restart_probability: float = Field(
        0.05, ge=0, le=1, description="Share of chains that start from uniform noise instead of the buffer."
    )


class Augmentation(Section):
    """What is done to images drawn from the buffer before their chains go on (S B.2); all off by default."""

    crop_area: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Smallest share of the area that a random crop keeps, then resized (1: no crop).",
    )
    flip: bool = Field(False, description="Mirror half of the images left to right.")
    colour_strength: float = Field(
        0.0,
        ge=0,
        le=1.25,
        description="SimCLR's s: brightness, contrast, saturation by up to 0.8 s (0: none).",
    )
    hue: float = Field(
        0.2,
        ge=0,
        le=0.4,
        description="Hue turned by up to this times s, as a share of the colour circle (Code: 0.4).",
    )
    jitter_probability: float = Field(0.8, ge=0, le=1, description="Share of images whose colours change.")
    grey_probability: float = Field(
        0.2, ge=0, le=1, description="Share of images made grey, where colour_strength is above 0."
    )

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self.crop_area < 1 or self.flip or self.colour_strength > 0


class Loss(Section):
    """Coefficients of L = L_CD + kl L_opt + entropy L_ent + regularisation L_reg."""

    kl: float = Field(
        1.0, ge=0, le=1000, description="Weight of L_opt, the energy of samples through the chain."
    )
    entropy: float = Field(0.3, ge=0, le=1000, description="Weight of L_ent, nearest-neighbour entropy.")
    regularisation: float = Field(1.0, ge=0, le=1000, description="Weight of L_reg, mean squared energies.")
    entropy_images: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Buffer images that each sample's nearest neighbour is sought among.",
    )
    entropy_minimum_fill: int = Field(
        1000, ge=1, le=10_000_000, description="Images in the buffer before L_ent takes part."
    )
    entropy_epsilon: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Added to the nearest distance (pixels, L2) so that its log stays finite.",
    )


class Optimiser(Section):
    """Adam on the energy network's weights."""

    learning_rate: float = Field(2e-4, gt=0, le=1, description="Step size of Adam after warm-up.")
    beta_1: float = Field(0.0, ge=0, lt=1, description="Decay of Adam's mean gradient.")
    beta_2: float = Field(0.9, ge=0, lt=1, description="Decay of Adam's mean squared gradient.")
    clip_norm: float = Field(
        0.5, gt=0, le=1e6, description="Global gradient norm above which it is scaled down."
    )
    warmup_steps: int = Field(0, ge=0, le=1_000_000, description="Steps over which the rate rises from 0.")
    decay_start: float = Field(
        1.0, ge=0, le=1, description="Share of training after which the rate falls linearly (1: never)."
    )
    final_fraction: float = Field(1.0, gt=0, le=1, description="Share of the rate left at the last step.")


class Training(Section):
    """How long, in what portions, and what is written down on the way."""

    steps: int = Field(100_000, ge=1, le=100_000_000, description="Training steps.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Images per step, over all devices.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Decay per step of the averaged (EMA) weights.")
    log_every: int = Field(50, ge=1, le=1_000_000, description="Steps between rows of history.csv.")
    grid_every: int = Field(1000, ge=1, le=1_000_000, description="Steps between pictures of the negatives.")
    checkpoint_every: int = Field(
        250, ge=1, le=1_000_000, description="Steps between checkpoints, to which a diverging run goes back."
    )
    initial_model: AbsolutePath = Field(
        None,
        description="Folder whose averaged weights training starts from: an exported model, or a finished artifact "
        "of TrainEBM; by default weights are drawn.",
    )
    initial_sha256: Optional[str] = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="The sha256 that those weights must have; by default what their folder says.",
    )

    @model_validator(mode="after")
    def _no_sha256_of_nothing(self) -> Training:
        if self.initial_sha256 is not None and self.initial_model is None:
            raise ValueError(
                "training.initial_sha256 is given without training.initial_model; name the folder, or leave both out"
            )
        return self


class Health(Section):
    """When a run counts as diverging, and what is done then: roll back with a smaller learning rate, then stop."""

    max_energy: float = Field(
        50.0, gt=0, description="Mean |energy| of real or sampled images that is too much."
    )
    max_gap_spreads: float = Field(
        3.0,
        gt=0,
        description="E(real) - E(samples) above or below 0 by more than this many spreads of E(real).",
    )
    max_spread_ratio: float = Field(4.0, gt=1, description="Spread of E(samples) over that of E(real).")
    max_gradient_growth: float = Field(20.0, gt=1, description="Gradient norm over its own running median.")
    patience: int = Field(
        5,
        ge=1,
        le=10_000,
        description="Steps in a row out of range before rolling back (not-a-number: at once).",
    )
    grace_steps: int = Field(100, ge=0, description="First steps, in which only not-a-number counts.")
    rollbacks: int = Field(3, ge=0, le=100, description="Times to roll back before the run stops.")
    learning_rate_factor: float = Field(
        0.5, gt=0, lt=1, description="What each roll-back scales the rate by."
    )
    on_divergence: Literal["fail", "keep"] = Field(
        "fail",
        description="What comes after the last roll-back. fail: an error. keep: training ends early with what was "
        "measured and the weights of the last checkpoint from before the trouble, for studies of stability.",
    )


class Selection(Section):
    """Judging during training, by samples of the averaged weights: curves, and which weights were the best."""

    every: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Training steps between evaluations; the last step has one, too (0: none at all).",
    )
    count: int = Field(
        1000,
        ge=500,
        le=1_000_000,
        description="Chains of an evaluation, from uniform noise, each time the same, so that curves are smooth.",
    )
    steps: int = Field(
        100, ge=1, le=1_000_000, description="Langevin steps of these chains; all else is as in langevin."
    )
    extractor: Optional[Literal["classifier", "random-conv", "pixels"]] = Field(
        None,
        description="Features to judge in; by default those of the experiment's extractor, and then a change of that "
        "trains anew.",
    )
    metric: Literal["frechet_distance", "kid"] = Field(
        "frechet_distance", description="What is least at the best weights, against the training images."
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Of these chains, which share no noise with those of sampling, whatever its seed.",
    )
    batch_size: int = Field(250, ge=1, le=65_536, description="Chains that run side by side.")


MOST_SHARDS = 1000
"""Tasks that one set of samples may be split into: each is planned, scheduled and published on its own."""


class Sampling(Section):
    """The samples that are judged and shown, drawn with the EMA weights."""

    source: Literal["ebm", "sngan"] = Field(
        "ebm", description="Whose samples: the energy model's, or the SNGAN baseline's (S A.2)."
    )
    weights: Literal["average", "best"] = Field(
        "average",
        description="Of the energy model: the averaged (EMA) ones as training left them, or as they were when "
        "selection judged them best.",
    )
    count: int = Field(1000, ge=2, le=10_000_000, description="Images of each kind (fresh, buffer).")
    seed: Optional[int] = Field(
        None, ge=0, lt=2**31, description="Of the samples; by default the experiment's. Another draws others."
    )
    labels: tuple[int, ...] = Field(
        (), description="Classes that a conditional model draws, in turn; by default all of them."
    )
    sampler: Literal["langevin", "mala"] = Field(
        "langevin",
        description="langevin: the paper's cold chain. mala: the same proposals, accepted or refused so that the "
        "chain's law is exactly exp(-E / temperature).",
    )
    temperature: Optional[float] = Field(
        None, gt=0, description="Of mala; by default noise_scale^2 / (2 step_size), the chain's own."
    )
    augment_every: Optional[int] = Field(
        None,
        ge=1,
        description="Fresh chains are augmented after every so many steps but the last (the authors' evaluation); "
        "by default never.",
    )
    steps: int = Field(
        100, ge=1, le=1_000_000, description="Langevin steps of fresh chains, from uniform noise."
    )
    buffer_steps: int = Field(20, ge=0, le=1_000_000, description="Langevin steps of chains from the buffer.")
    step_size: Optional[float] = Field(
        None, gt=0, le=1e6, description="Lambda of these chains; by default langevin.step_size."
    )
    noise_scale: Optional[float] = Field(
        None, ge=0, le=1, description="Sigma of these chains; by default langevin.noise_scale."
    )
    batch_size: int = Field(250, ge=1, le=65_536, description="Chains that run side by side.")
    shard_size: Optional[int] = Field(
        None,
        ge=1,
        description="Images of each kind that one task draws: more are drawn, and their features measured, by "
        "several tasks, side by side where there are accelerators for it, and merged. By default one task draws all.",
    )
    film_chains: int = Field(8, ge=1, le=64, description="Chains in the film strip from noise to image.")
    film_frames: int = Field(11, ge=2, le=100, description="Pictures of each chain in the film strip.")

    @model_validator(mode="after")
    def _shards_are_whole_batches(self) -> Sampling:
        size, batch = self.shard_size, self.batch_size
        if size is None or size >= self.count:
            return self
        if size % batch:
            nearest = " or ".join(str(n * batch) for n in (size // batch, size // batch + 1) if n)
            raise ValueError(
                f"sampling.shard_size is {size}, no multiple of sampling.batch_size ({batch}), so that chains would "
                f"run in other batches and end in other last bits than in one task; give {nearest}, or another "
                "batch_size"
            )
        if -(-self.count // size) > MOST_SHARDS:
            raise ValueError(
                f"sampling.shard_size is {size}, which makes {-(-self.count // size)} tasks of {self.count} images, "
                f"more than {MOST_SHARDS}; give {-(-self.count // MOST_SHARDS)} or more"
            )
        return self


class SNGAN(Section):
    """The baseline of S A.2: a GAN with spectral normalisation, hinge loss and the published defaults.

    Three things are not as in the published runs on CIFAR-10: the learning rate stays what it is (there it falls
    linearly), the generator's batch is as large as the discriminator's (there larger), and kernels are divided in
    place (there gradients go through the division; see ebm_tf/baselines/spectral_normalisation.py).
    """

    steps: int = Field(100_000, ge=1, le=100_000_000, description="Generator steps.")
    seconds: Optional[float] = Field(
        None, gt=0, description="Stop after so many seconds of training (to compare at equal time)."
    )
    batch_size: int = Field(64, ge=1, le=65_536, description="Images per step, real and generated each.")
    discriminator_steps: int = Field(5, ge=1, le=100, description="Discriminator steps per generator step.")
    latent_size: int = Field(128, ge=1, le=10_000, description="Numbers that an image is made from, N(0, 1).")
    width: float = Field(1.0, gt=0, le=8, description="Factor on the number of channels of every layer.")
    learning_rate: float = Field(2e-4, gt=0, le=1, description="Step size of Adam, for both networks.")
    beta_1: float = Field(0.0, ge=0, lt=1, description="Decay of Adam's mean gradient.")
    beta_2: float = Field(0.9, ge=0, lt=1, description="Decay of Adam's mean squared gradient.")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay per step of the generator's averaged weights (0: the last ones)."
    )
    log_every: int = Field(50, ge=1, le=1_000_000, description="Steps between rows of history.csv.")
    grid_every: int = Field(1000, ge=1, le=1_000_000, description="Steps between pictures.")
    checkpoint_every: int = Field(250, ge=1, le=1_000_000, description="Steps between checkpoints.")


class Member(Section):
    """One energy of a composition: a trained model, or one class of a conditional one."""

    config: Optional[str] = Field(
        None,
        description="Config whose model it is, beside this one or shipped; by default this experiment's. --set does "
        "not reach it.",
    )
    label: Optional[int] = Field(None, ge=0, description="Class of a conditional model.")


class Compose(Section):
    """Models put together (ComposeModels)."""

    operation: Literal["and", "or", "not"] = Field(
        "or",
        description="and: sum of the energies, step size over their number; or: -T logsumexp(-E/T); not: the first "
        "less weight times the others.",
    )
    members: tuple[Member, ...] = Field(
        (), description="The energies, as a list of {config: NAME, label: CLASS}."
    )
    temperature: float = Field(1.0, gt=0, description="Temperature T of or, in units of energy.")
    weight: float = Field(0.5, ge=0, description="alpha of not.")
    count: int = Field(200, ge=2, le=1_000_000, description="Samples to draw.")
    steps: Optional[int] = Field(None, ge=1, description="Langevin steps; by default sampling.steps.")


class OOD(Section):
    """Which images EvaluateOOD tells from the data set's own test images, by their energy."""

    synthetic: tuple[Literal["uniform_noise", "rotated", "inverted", "constant", "shuffled"], ...] = Field(
        ("uniform_noise", "rotated", "inverted", "constant", "shuffled"),
        description="Images made here: noise; test images turned by 90 degrees, inverted, with shuffled pixels; "
        "flat greys.",
    )
    datasets: tuple[Dataset, ...] = Field(
        (),
        description="Other data sets (their test split), as a list of dataset sections; without size and "
        "colour of their own they are brought to those of the data set.",
    )
    count: int = Field(10_000, ge=2, description="Images of each set, at most.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of the synthetic images.")


class Neighbours(Section):
    """Nearest training images of generated ones (S A.1)."""

    queries: int = Field(10, ge=1, le=1000, description="Fresh samples shown with their neighbours.")
    k: int = Field(5, ge=1, le=1000, description="Neighbours of each.")
    space: Literal["pixels", "features"] = Field(
        "pixels", description="Distances are L2 over pixels of 0..1, or over the features of the extractor."
    )
    flips: bool = Field(
        False,
        description="A training image counts as near as it or its mirror image is; for sets in which mirror images "
        "are natural. In features the sample is mirrored instead.",
    )
    percentile: float = Field(
        5.0,
        gt=0,
        lt=100,
        description="Of the test images' distances; told is the share of samples nearer to a training image.",
    )
    count: int = Field(
        10_000, ge=1, description="Samples, and test images, whose neighbours are sought, at most."
    )
    pairs: int = Field(
        10, ge=1, le=1000, description="Samples listed and shown that lie nearest to a training image."
    )


class Studies(Section):
    """The trainings of StudyNoiseInit, StudyTruncation and StudyCollapse: as many as there are cases and seeds.

    A case is the experiment with the settings changed that the study is about. The first trouble ends a training
    (health.rollbacks=0, health.on_divergence=keep), and is a result like any other.
    """

    seeds: tuple[int, ...] = Field(
        (0, 1, 2),
        description="Seeds that each case is trained with, two at least: the intervals are over them.",
    )
    training_steps: Optional[int] = Field(
        None, ge=1, le=100_000_000, description="Steps of each training; by default training.steps."
    )
    evaluations: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Evaluations of each training, evenly spread, as of selection: the points of the curves.",
    )
    last_steps: Optional[int] = Field(
        None,
        ge=2,
        le=10_000,
        description="Of StudyTruncation: m of the training between the last step alone and all K; by default half of "
        "langevin.steps.",
    )

    @field_validator("seeds")
    @classmethod
    def _several_different_ones(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        fine = len(seeds) >= 2 and len(set(seeds)) == len(seeds) and all(0 <= seed < 2**31 for seed in seeds)
        if not fine:
            raise ValueError(
                f"studies.seeds received {list(seeds)}: give two or more different seeds, each from 0 to 2147483647"
            )
        return seeds


class Extractor(Section):
    """What turns images into the features that distances are measured between."""

    name: Literal["classifier", "inception", "keras-inception", "pixels", "random-conv", "saved-model"] = (
        Field(
            "classifier",
            description="classifier: a small network that the pipeline trains on the same images. inception: the "
            "reference network of the FID. keras-inception: that of keras.applications, another network. pixels; "
            "random-conv: convolutions that nobody trained. saved-model: your own.",
        )
    )
    path: AbsolutePath = Field(
        None,
        description="Of inception the graph (.pb, or the .tgz that it comes in; else the variable EBM_INCEPTION), of "
        "keras-inception its weights (.h5), of saved-model the folder. What was imported stays: when the file "
        "changes, --force ImportFeatureExtractor, or give its sha256.",
    )
    sha256: Optional[str] = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="What the extractor's sha256 has to be; by default it is only told.",
    )
    epochs: int = Field(30, ge=1, le=10_000, description="Of classifier: passes over the training images.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Of classifier: images per step.")
    learning_rate: float = Field(
        2e-3, gt=0, le=1, description="Of classifier: step size of Adam; falls to 0 by a cosine."
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Of classifier and random-conv; apart from the experiment's, so that runs compare.",
    )
    minimum_accuracy: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Of classifier: share of test images to get right; below it the features are not trusted.",
    )

    @model_validator(mode="after")
    def _path_is_of_use(self) -> Extractor:
        without = ("classifier", "pixels", "random-conv")
        if self.path is not None and self.name in without:
            raise ValueError(f"extractor.path is {self.path}, but {self.name} takes none; leave it out")
        if self.name == "classifier" and self.sha256 is not None:
            raise ValueError("extractor.sha256 is given, but the classifier is trained here; leave it out")
        if self.name == "saved-model" and self.path is None:
            raise ValueError(
                "extractor.name is saved-model, which needs extractor.path; give the model's folder"
            )
        return self


class Evaluation(Section):
    """What EvaluateFID computes."""

    seed: int = Field(
        0, ge=0, lt=2**31, description="Of the baselines' images, of subsets and of bootstrap draws."
    )
    baseline_count: int = Field(1000, ge=2, description="Images of each baseline row (noise, Gaussian).")
    kid_subsets: int = Field(100, ge=1, le=100_000, description="Subsets that KID is averaged over.")
    kid_subset_size: int = Field(1000, ge=2, description="Images of each KID subset, at most.")
    inception_score_splits: int = Field(
        10, ge=1, le=1000, description="Parts that the Inception Score is measured on, for its spread."
    )
    manifold_neighbours: int = Field(
        5, ge=1, le=1000, description="k of precision, recall, density and coverage."
    )
    manifold_images: int = Field(
        10_000, ge=2, description="Images of each side for precision, recall, density and coverage, at most."
    )
    bootstrap: int = Field(200, ge=0, le=100_000, description="Draws behind each interval (0: no intervals).")
    confidence: float = Field(0.95, gt=0, lt=1, description="Of the intervals.")


def addresses(workers: Any) -> tuple[str, ...]:
    """Where workers are, checked: "host:port" each, none of them twice.

    Raises:
        ValueError: one is no address, or comes twice.
    """
    for address in workers:
        host, _, port = str(address).rpartition(":")
        whole = isinstance(address, str) and host and not re.search(r"[\s/\[\]:]", host)
        if not (whole and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError(f"has {address!r}, which is no host:port such as 10.0.0.7:2222")
        if list(workers).count(address) > 1:
            raise ValueError(f"has {address} twice; each worker has an address of its own")
    return tuple(workers)


class Compute(Section):
    """Where and how it runs. None of this changes a fingerprint."""

    devices: tuple[str, ...] = Field(
        (),
        description="Devices to use, such as [GPU:0, GPU:2] or [CPU:0]; of one kind. Empty: every GPU, or the CPU "
        "where there is none.",
    )
    strategy: Literal["mirrored", "multi_worker"] = Field(
        "mirrored",
        description="mirrored: one process trains, on all its devices. multi_worker: several processes, mostly on "
        "several machines, train one energy model together; see the command join.",
    )
    workers: tuple[str, ...] = Field(
        (),
        description="With multi_worker: the address host:port of each worker, the chief's first, the same list on "
        "all. Empty: TF_CONFIG says it.",
    )
    worker: Optional[int] = Field(
        None, ge=0, description="With compute.workers: which of them this process is, from 0, the chief."
    )
    wait_seconds: float = Field(
        45.0,
        gt=0,
        le=604_800,
        description="With multi_worker: seconds that workers wait for each other when training begins.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads in an operation (0: one per core; for networks as small as tiny, 1 is faster).",
    )
    lanes: int = Field(
        1,
        ge=1,
        le=64,
        description="Parts of a batch of chains that run side by side on a CPU, each in a thread of its own. For "
        "small networks that is faster than more threads in an operation; numbers differ by rounding.",
    )
    portions: int = Field(
        1,
        ge=1,
        le=65_536,
        description="Portions of each device's share of a training batch that are computed one after the other: as "
        "many times less memory for the same gradients, up to rounding.",
    )
    logical_cpus: int = Field(1, ge=1, le=64, description="CPU replicas to train on where there is no GPU.")
    deterministic: bool = Field(True, description="Only operations that give the same bits each time.")
    extraction_batch: int = Field(
        256, ge=1, le=65_536, description="Images that a feature extractor is given at a time."
    )
    data_dir: Optional[str] = Field(
        None, description="Where TFDS keeps downloads; by default ~/tensorflow_datasets (or TFDS_DATA_DIR)."
    )
    minimum_free_disk_mb: int = Field(300, ge=0, description="MiB free at the root before a run starts.")

    @model_validator(mode="after")
    def _devices_of_one_kind(self) -> Compute:
        for name in self.devices:
            if not re.fullmatch(r"(CPU|GPU):\d{1,3}", name):
                raise ValueError(
                    f"compute.devices has {name!r}, which is no device; give such as GPU:0 or CPU:0"
                )
            if self.devices.count(name) > 1:
                raise ValueError(f"compute.devices has {name} twice; name each device once")
        if len({name[:3] for name in self.devices}) > 1:
            raise ValueError(
                f"compute.devices is {', '.join(self.devices)}, which mixes CPU and GPU; give devices of one kind"
            )
        return self

    @model_validator(mode="after")
    def _workers_are_of_use(self) -> Compute:
        try:
            addresses(self.workers)
        except ValueError as error:
            raise ValueError(f"compute.workers {error}") from error
        if self.workers and self.strategy == "mirrored":
            raise ValueError(
                "compute.workers is given, but compute.strategy is mirrored; set compute.strategy=multi_worker, or "
                "leave it out"
            )
        if self.worker is not None and self.worker >= len(self.workers):
            raise ValueError(
                f"compute.worker is {self.worker}, but compute.workers names {len(self.workers)}; give "
                + (f"0 to {len(self.workers) - 1}" if self.workers else "both, or neither")
            )
        if self.logical_cpus > 1 and self.strategy == "multi_worker":
            raise ValueError(
                f"compute.logical_cpus is {self.logical_cpus}, but with multi_worker a process without a GPU is one "
                "replica; start more workers, or set compute.lanes"
            )
        return self


class Experiment(Section):
    """One experiment, whole."""

    name: str = Field(
        "experiment",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="Folder below runs/ that shows it.",
    )
    seed: int = Field(
        0, ge=0, lt=2**31, description="Every random number of training and sampling follows from it."
    )
    dataset: Dataset = Dataset()
    model: Model = Model()
    langevin: Langevin = Langevin()
    replay: Replay = Replay()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    training: Training = Training()
    health: Health = Health()
    selection: Selection = Selection()
    sampling: Sampling = Sampling()
    sngan: SNGAN = SNGAN()
    compose: Compose = Compose()
    ood: OOD = OOD()
    neighbours: Neighbours = Neighbours()
    studies: Studies = Studies()
    extractor: Extractor = Extractor()
    evaluation: Evaluation = Evaluation()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _labels_are_known(self) -> Experiment:
        own = [member.label for member in self.compose.members if member.config is None]
        if not self.model.conditional and any(label is not None for label in own):
            raise ValueError(
                f"compose.members names the labels {own} of this experiment's model, but model.conditional is false; "
                "train with model.conditional=true, or name a config whose model is"
            )
        if self.sampling.labels and not self.model.conditional:
            raise ValueError(
                f"sampling.labels is {list(self.sampling.labels)}, but model.conditional is false, so that samples "
                "have no class; train with model.conditional=true, or give no labels"
            )
        return self

    @model_validator(mode="after")
    def _best_weights_are_kept(self) -> Experiment:
        if self.sampling.weights == "best" and not self.selection.every:
            raise ValueError(
                "sampling.weights is best, but selection.every is 0, so that training judges no weights; set "
                "selection.every to the steps between evaluations, or sampling.weights=average"
            )
        return self

    @model_validator(mode="after")
    def _entropy_takes_part(self) -> Experiment:
        if self.loss.entropy > 0 and self.replay.capacity < self.loss.entropy_minimum_fill:
            raise ValueError(
                f"replay.capacity is {self.replay.capacity}, less than loss.entropy_minimum_fill "
                f"({self.loss.entropy_minimum_fill}), so that the entropy term would never take part; lower "
                "the one, raise the other, or set loss.entropy=0"
            )
        return self


class Setting(NamedTuple):
    """One row of the reference of settings."""

    path: str
    type: str
    default: Any
    description: str


def chain_of_samples(sampling: Sampling, langevin: Langevin) -> tuple[float, float]:
    """Step size and noise scale of the chains that draw samples: their own, or else those of training."""
    step_size = langevin.step_size if sampling.step_size is None else sampling.step_size
    noise_scale = langevin.noise_scale if sampling.noise_scale is None else sampling.noise_scale
    return step_size, noise_scale


def seed_of_samples(sampling: Sampling, seed: int) -> int:
    """The seed that samples are drawn with: their own, or else the experiment's."""
    return seed if sampling.seed is None else sampling.seed


def describe_settings() -> list[Setting]:
    """Every setting with its type and range, default and meaning, in the order of `Experiment`."""
    return [
        Setting(path, range_of(field), field.default, field.description or "")
        for path, field in leaves(Experiment)
    ]


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The settings below a section, as ("section.key", field)."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def range_of(field: FieldInfo) -> str:
    """Such as "int, >= 1, <= 100", "fifo | reservoir" or "list of int"."""
    annotation = _without_none(field.annotation)
    if get_origin(annotation) is tuple:
        return f"list of {_named(get_args(annotation)[0])}"
    if get_origin(annotation) is Literal:
        return _named(annotation)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {_plain(getattr(constraint, key))}"
        for constraint in field.metadata
        for key, sign in signs.items()
        if hasattr(constraint, key)
    ]
    return ", ".join([_named(annotation), *bounds])


def _without_none(annotation: Any) -> Any:
    """The type of an optional setting."""
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    return choices[0] if type(None) in get_args(annotation) else annotation


def _named(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    return "mapping" if issubclass(annotation, Section) else str(annotation.__name__)


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
