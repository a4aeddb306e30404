"""The typed experiment: every setting with its unit, range, default and meaning.

A config is YAML with the sections of `Experiment`; `extends: NAME` lays it over another config of the same
folder, and `--set section.key=value` lays single values over that. Unknown keys are refused with the nearest
known name. This module is the ground floor: it imports nothing of ours but the errors, and no TensorFlow.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, Union

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from ebm_tf.errors import ConfigError, MissingInput

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "configs"
DEFAULT_CONFIG = "digits"


class Section(BaseModel):
    """A group of settings: immutable, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take `true` for 1."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError(f"{info.field_name} received {str(value).lower()}: give {_range_of(field)}")
        return value


class Dataset(Section):
    """Which images are learned."""

    name: Literal["digits"] = Field(
        "digits",
        description="Data set, by its TFDS name. digits: scikit-learn's 1797 8x8 scans, no download.",
    )


class Model(Section):
    """The energy network."""

    architecture: Literal["tiny"] = Field(
        "tiny", description="Network, by its name in ebm_tf/models/architectures.py. tiny: for 8x8 images."
    )
    init_gain: float = Field(
        1.4, gt=0, le=10, description="Kernels start as N(0, gain^2 / fan-in); biases at 0."
    )


class Langevin(Section):
    """The chain that draws negative samples (SPEC: x <- clip(x + noise - step_size * dE/dx, 0, 1))."""

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


class Health(Section):
    """When a run counts as diverging, and what is done then: roll back with a smaller learning rate."""

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


class Sampling(Section):
    """The samples that are judged and shown, drawn with the EMA weights."""

    count: int = Field(1000, ge=2, le=10_000_000, description="Images of each kind (fresh, buffer).")
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
    film_chains: int = Field(8, ge=1, le=64, description="Chains in the film strip from noise to image.")
    film_frames: int = Field(11, ge=2, le=100, description="Pictures of each chain in the film strip.")


class Neighbours(Section):
    """Nearest training images of generated ones (S A.1)."""

    queries: int = Field(10, ge=1, le=1000, description="Fresh samples shown with their neighbours.")
    k: int = Field(5, ge=1, le=1000, description="Neighbours of each.")


class Extractor(Section):
    """The classifier whose penultimate features the distances are measured in."""

    epochs: int = Field(30, ge=1, le=10_000, description="Passes over the training images.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Images per step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Step size of Adam; falls to 0 by a cosine.")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Of the classifier; apart from the experiment's, so that runs compare."
    )
    minimum_accuracy: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of test images to get right; below it the features are not trusted.",
    )


class Evaluation(Section):
    """What EvaluateFID computes."""

    seed: int = Field(0, ge=0, lt=2**31, description="Of the baselines' images and of KID's subsets.")
    baseline_count: int = Field(1000, ge=2, description="Images of each baseline row (noise, Gaussian).")
    kid_subsets: int = Field(100, ge=1, le=100_000, description="Subsets that KID is averaged over.")
    kid_subset_size: int = Field(1000, ge=2, description="Images of each KID subset, at most.")


class Compute(Section):
    """Where and how it runs. None of this changes a fingerprint."""

    threads: int = Field(1, ge=0, le=1024, description="CPU threads in an operation (0: one per core).")
    logical_cpus: int = Field(1, ge=1, le=64, description="CPU replicas to train on where there is no GPU.")
    deterministic: bool = Field(True, description="Only operations that give the same bits each time.")
    minimum_free_disk_mb: int = Field(300, ge=0, description="MiB free at the root before a run starts.")


class Experiment(Section):
    """One experiment, whole."""

    name: str = Field(
        "experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Folder below runs/ that shows it."
    )
    seed: int = Field(
        0, ge=0, lt=2**31, description="Every random number of training and sampling follows from it."
    )
    dataset: Dataset = Dataset()
    model: Model = Model()
    langevin: Langevin = Langevin()
    replay: Replay = Replay()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    training: Training = Training()
    health: Health = Health()
    sampling: Sampling = Sampling()
    neighbours: Neighbours = Neighbours()
    extractor: Extractor = Extractor()
    evaluation: Evaluation = Evaluation()
    compute: Compute = Compute()

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


def available_configs() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted(CONFIG_FOLDER.glob("*.yaml"))}


def config_headline(path: Path) -> str:
    """The first comment line of a config: what it is."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def chain_of_samples(sampling: Sampling, langevin: Langevin) -> tuple[float, float]:
    """Step size and noise scale of the chains that draw samples: their own, or else those of training."""
    step_size = langevin.step_size if sampling.step_size is None else sampling.step_size
    noise_scale = langevin.noise_scale if sampling.noise_scale is None else sampling.noise_scale
    return step_size, noise_scale


def load_experiment(config: str | Path = DEFAULT_CONFIG, overrides: Sequence[str] = ()) -> Experiment:
    """Read a config, lay `overrides` ("section.key=value") over it, and check the whole.

    Args:
        config: path of a YAML file, or the name of a shipped config.
        overrides: values in YAML notation; later ones win.

    Raises:
        ConfigError: unknown key, wrong type, value out of range, YAML that cannot be read.
        MissingInput: there is no such file.
    """
    values = _read_chain(_find(config), seen=())
    for text in overrides:
        _override(values, text)
    return _validated(Experiment, values, where=str(config))


def section(name: str, values: Any) -> Any:
    """One checked section of `Experiment` (or a plain value such as the seed) from a slice of a config."""
    annotation = Experiment.model_fields[name].annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _validated(annotation, values, where=name, prefix=name)
    return values


def describe_settings() -> list[Setting]:
    """Every setting with its type and range, default and meaning, in the order of `Experiment`."""
    return [
        Setting(path, _range_of(field), field.default, field.description or "")
        for path, field in _leaves(Experiment)
    ]


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _range_of(field: FieldInfo) -> str:
    """Such as "int, >= 1, <= 100" or "fifo | reservoir"."""
    annotation = field.annotation
    choices = getattr(annotation, "__args__", ())
    if type(None) in choices:
        annotation = next(choice for choice in choices if choice is not type(None))
    elif choices:
        return " | ".join(map(str, choices))
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {_plain(getattr(constraint, key))}"
        for constraint in field.metadata
        for key, sign in signs.items()
        if hasattr(constraint, key)
    ]
    return ", ".join([getattr(annotation, "__name__", str(annotation)), *bounds])


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _find(config: str | Path) -> Path:
    known = available_configs()
    if str(config) in known:
        return known[str(config)]
    path = Path(config)
    if path.is_file():
        return path
    hint = _nearest(str(config), known)
    raise MissingInput(f"no config {str(config)!r}: give a YAML file, or one of {', '.join(known)}{hint}")


def _read_chain(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a config laid over those that it extends."""
    if path in seen:
        raise ConfigError(f"{path} extends itself by way of {' -> '.join(p.name for p in seen)}")
    values = _read_yaml(path)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    beside = path.parent / f"{parent}.yaml"
    parent_path = beside if beside.is_file() else available_configs().get(str(parent))
    if parent_path is None:
        shipped = ", ".join(available_configs())
        raise MissingInput(
            f"{path} extends {parent!r}, but there is no {beside}, nor one shipped ({shipped})"
        )
    return _merged(_read_chain(parent_path, (*seen, path)), values)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(f"cannot read {path}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{where}: not YAML that can be read ({problem})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: received a {type(values).__name__}; a config is a mapping of sections")
    return values


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, strict where it is lax: no aliases (one could hold itself), no key twice."""

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        """As the parent does, but refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not taken here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the parent does, but refuse a key that comes twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} comes twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def _merged(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], text: str) -> None:
    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set received {text!r}; give section.key=value, for example langevin.steps=40")
    try:
        value = _parse(raw)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {path}: the value {raw!r} is not YAML that can be read") from error
    if isinstance(value, str):
        value = _number(value)
    *parents, key = path.strip().split(".")
    for parent in parents:
        inner = values.get(parent)
        values[parent] = dict(inner) if isinstance(inner, dict) else {}
        values = values[parent]
    values[key] = value


def _number(text: str) -> Union[str, float]:
    """YAML 1.1 takes 2e-4 for text; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text


def _validated(model: type[BaseModel], values: Any, where: str, prefix: str = "") -> Any:
    try:
        return model.model_validate(_with_numbers(values))
    except ValidationError as error:
        problems = [_problem(problem, prefix) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(problems)) from error


def _with_numbers(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _with_numbers(value) for key, value in values.items()}
    return _number(values) if isinstance(values, str) and values[:1].isdigit() else values


def _problem(problem: Any, prefix: str) -> str:
    """One pydantic complaint as a phrase: what was received, what is allowed."""
    parts = [prefix, *map(str, problem["loc"])] if prefix else [str(part) for part in problem["loc"]]
    path = ".".join(parts)
    if problem["type"] == "extra_forbidden":
        known = dict(_leaves(Experiment))
        siblings = [name for name in known if name.rsplit(".", 1)[0] == path.rsplit(".", 1)[0]]
        pool = siblings if "." in path and siblings else [*Experiment.model_fields, *known]
        return f"unknown key {path!r}{_nearest(path, pool) or _nearest(path, known)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message
    allowed = next((_range_of(field) for name, field in _leaves(Experiment) if name == path), "")
    return f"{path} received {problem['input']!r}: {message[0].lower()}{message[1:]}" + (
        f" (allowed: {allowed})" if allowed else ""
    )


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
