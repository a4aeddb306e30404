"""The config: what is refused and with which words, what is laid over what, and the configs that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ebm_tf.config import Experiment, chain_of_samples, describe_settings
from ebm_tf.config_files import (
    DEFAULT_CONFIG,
    available_configs,
    config_headline,
    load_experiment,
    section,
)
from ebm_tf.errors import ConfigError, MissingInput
from tools.write_base_config import base_config

SHIPPED = available_configs()


@pytest.fixture
def write(tmp_path):
    """Write a config of the given name and text; returns its path."""

    def writer(text, name="mine"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def refusal(config, *overrides):
    """The one line with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        load_experiment(config, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("text", "received", "nearest"),
    [
        ("langevin: {stpes: 5}", "langevin.stpes", "langevin.steps"),
        ("langvin: {steps: 5}", "langvin", "langevin"),
        ("loss: {regularization: 1}", "loss.regularization", "loss.regularisation"),
        ("compose: {members: [{}, {lable: 1}]}", "compose.members.1.lable", "label"),
        ("ood: {datasets: [{name: mnist, sise: 8}]}", "ood.datasets.0.sise", "size"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(write, text, received, nearest):
    assert refusal(write(text)).endswith(f"unknown key {received!r}; did you mean {nearest!r}?")


def test_a_key_that_has_lost_its_section_is_told_where_it_belongs(write):
    said = refusal(write("learning_rate: 0.1"))
    assert said.endswith(
        "unknown key 'learning_rate'; it is part of a section: optimiser.learning_rate, sngan.learning_rate, "
        "extractor.learning_rate"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataset: {name: folder}", "dataset.name is folder, which needs dataset.path"),
        (
            "ood: {datasets: [{name: mnist}, {name: folder}]}",
            ": ood.datasets.1: dataset.name is folder, which needs dataset.path",
        ),
        ("dataset: {path: /tmp/x}", "dataset.path is '/tmp/x', but digits has no files of yours"),
        ("sampling: {labels: [3]}", "sampling.labels is [3], but model.conditional is false"),
        (
            "compose: {members: [{label: 1}, {label: 2}]}",
            "compose.members names the labels [1, 2] of this experiment's model, but model.conditional is false",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(write, text, words):
    assert words in refusal(write(text))


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("training.step_size", "'langevin.step_size' or 'sampling.step_size'"),
        ("training.stpes", "'training.steps'"),
        ("langevin.path", "'dataset.path' or 'extractor.path'"),
    ],
)
def test_a_key_of_another_section_is_named_before_one_that_is_spelt_alike(path, meant):
    assert refusal("digits", f"{path}=1").endswith(f"unknown key {path!r}; did you mean {meant}?")


def test_an_unknown_key_that_is_near_nothing_gets_no_suggestion(write):
    assert refusal(write("zzzzqqqq: 1")).endswith("unknown key 'zzzzqqqq'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("langevin: {steps: many}", "langevin.steps received 'many'"),
        ("langevin: {steps: 2.5}", "langevin.steps received 2.5"),
        ("langevin: 3", "langevin received 3"),
        ("compute: {deterministic: perhaps}", "compute.deterministic received 'perhaps'"),
        ("optimiser: {learning_rate: [1]}", "optimiser.learning_rate received [1]"),
        ("dataset: {name: [digits]}", "dataset.name received ['digits']"),
        ("compose: {members: 3}", "compose.members received 3"),
        ("compose: {members: [3]}", "compose.members.0 received 3"),
        ("langevin: {steps: true}", ": langevin.steps received true"),
    ],
)
def test_a_wrong_type_is_refused_with_what_was_received(write, text, words):
    assert words in refusal(write(text))


@pytest.mark.parametrize(
    ("text", "words", "allowed"),
    [
        ("langevin: {steps: 0}", "langevin.steps received 0", "(allowed: int, >= 1, <= 10000)"),
        ("optimiser: {learning_rate: 0}", "learning_rate received 0", "(allowed: float, > 0, <= 1)"),
        ("optimiser: {beta_2: 1.0}", "optimiser.beta_2 received 1.0", "(allowed: float, >= 0, < 1)"),
        ("optimiser: {learning_rate: .nan}", "learning_rate received nan", "(allowed: float, > 0, <= 1)"),
        ("health: {max_energy: .inf}", "health.max_energy received inf", "(allowed: float, > 0)"),
        ("replay: {policy: lifo}", "replay.policy received 'lifo'", "(allowed: fifo | reservoir)"),
        ("dataset: {name: mnits}", "dataset.name received 'mnits'", "(allowed: digits | digits_stroke |"),
        ("seed: -1", "seed received -1", "(allowed: int, >= 0"),
        ("compose: {members: [{label: -1}]}", "compose.members.0.label received -1", "(allowed: int, >= 0)"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(write, text, words, allowed):
    said = refusal(write(text))
    assert words in said
    assert allowed in said


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "", "two words"])
def test_a_name_is_one_plain_folder(write, name):
    assert f"name received {name!r}" in refusal(write(yaml.safe_dump({"name": name})))


def test_the_differentiated_tail_is_no_longer_than_the_chain(write):
    text = "langevin: {{steps: 5, backprop_steps: {}}}"
    assert load_experiment(write(text.format(5))).langevin.backprop_steps == 5
    assert "langevin.backprop_steps is 6, more than langevin.steps (5)" in refusal(write(text.format(6)))


def test_every_problem_is_named_at_once(write):
    said = refusal(write("langevin: {steps: 0}\ntrainig: {}\nseed: x"))
    assert "langevin.steps received 0" in said
    assert "seed received 'x'" in said
    assert "unknown key 'trainig'; did you mean 'training'?" in said


def test_torn_yaml_is_refused_with_its_place(write):
    path = write("name: a\nlangevin: [1,\n")
    assert refusal(path).startswith(f"{path} line 3, column 1: not YAML that can be read")


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b\n", "list"), ("hello\n", "str"), ("3\n", "int")])
def test_a_config_is_a_mapping(write, text, kind):
    assert f"received a {kind}; a config is a mapping of sections" in refusal(write(text))


def test_a_file_that_is_not_text_is_missing_input(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MissingInput, match=r"cannot read .*mine\.yaml"):
        load_experiment(path)


def test_a_missing_file_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match=r"no config '.*none\.yaml': give a YAML file, or one of base, "):
        load_experiment(tmp_path / "none.yaml")
    with pytest.raises(MissingInput, match="did you mean 'digits'"):
        load_experiment("digit")


def test_an_empty_config_is_the_defaults(write):
    assert load_experiment(write("")) == Experiment()


def test_a_config_is_laid_over_what_it_extends_key_by_key(write):
    write("seed: 1\nlangevin: {steps: 10, step_size: 1.0}\nname: a", "grandparent")
    write("extends: grandparent\nlangevin: {steps: 20}\nname: b", "parent")
    loaded = load_experiment(write("extends: parent\nlangevin: {noise_scale: 0.5}", "child"))
    changed = {"seed": 1, "name": "b", "langevin": {"steps": 20, "step_size": 1.0, "noise_scale": 0.5}}
    assert loaded.model_dump(exclude_unset=True) == changed


def test_a_config_that_extends_itself_is_refused(write):
    write("extends: second", "first")
    path = write("extends: first", "second")
    said = refusal(path)
    assert said.startswith(f"{path} extends itself")
    assert "second.yaml -> first.yaml" in said


def test_extending_what_is_not_there_is_missing_input(write):
    with pytest.raises(MissingInput, match="extends 'nothing', but there is no"):
        load_experiment(write("extends: nothing"))


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimiser.learning_rate=2e-4", "optimiser.learning_rate", 2e-4),
        ("optimiser.learning_rate=3.5e-1", "optimiser.learning_rate", 0.35),
        ("optimiser.learning_rate=.5", "optimiser.learning_rate", 0.5),
        ("langevin.steps=7", "langevin.steps", 7),
        ("langevin.steps=1e2", "langevin.steps", 100),
        ("langevin={steps: 7}", "langevin.steps", 7),
        ("compute.deterministic=false", "compute.deterministic", False),
        ("replay.policy=reservoir", "replay.policy", "reservoir"),
        ("name=run-2e-4", "name", "run-2e-4"),
        ('name="2024"', "name", "2024"),
        ('name="2e4"', "name", "2e4"),
        ("name=inf", "name", "inf"),
    ],
)
def test_values_set_on_the_command_line(write, override, path, value):
    received = load_experiment(write("name: mine"), [override])
    for key in path.split("."):
        received = getattr(received, key)
    assert received == value
    assert type(received) is type(value)


def test_a_rate_like_2e_4_is_a_number_in_a_file_too(write):
    """YAML 1.1 asks for a dot before the exponent and reads 3e-4 as text."""
    assert yaml.safe_load("3e-4") == "3e-4"
    assert load_experiment(write("optimiser: {learning_rate: 3e-4}")).optimiser.learning_rate == 3e-4


@pytest.mark.parametrize("text", ["2024", "2024-01-31", "true", "2.5"])
def test_a_text_that_looks_like_something_else_is_refused_with_how_to_quote_it(write, text):
    said = refusal("digits", f"name={text}")
    assert said.endswith(f"""; if text is meant, quote it: "{text}" in a file, --set name='"{text}"'""")
    assert load_experiment("digits", [f'name="{text}"']).name == text
    assert load_experiment(write(f'name: "{text}"')).name == text


def test_only_texts_are_to_be_quoted():
    assert "quote" not in refusal("digits", "langevin.steps=2.5")
    assert "quote" not in refusal("digits", "replay.policy=3")
    assert "quote" not in refusal("digits", "name=[a]")


def test_what_is_set_leaves_its_neighbours_and_the_last_one_wins(write):
    path = write("langevin: {steps: 10, step_size: 1.0}")
    loaded = load_experiment(path, ["langevin.steps=3", "langevin.steps=4"])
    assert (loaded.langevin.steps, loaded.langevin.step_size) == (4, 1.0)


@pytest.mark.parametrize("override", ["langevin.steps", "=3", ""])
def test_a_setting_without_key_or_value_is_refused_with_an_example(override):
    said = refusal("digits", override)
    assert said == f"--set received {override!r}; give section.key=value, for example langevin.steps=40"


def test_a_set_value_is_checked_like_one_in_a_file():
    assert "--set langevin.steps: the value '[1' is not YAML" in refusal("digits", "langevin.steps=[1")
    assert "did you mean 'langevin.steps'?" in refusal("digits", "langevin.stpes=1")
    assert "langevin.steps received 0" in refusal("digits", "langevin.steps=0")
    assert "langevin.steps received {'more': 1}" in refusal("digits", "langevin.steps.more=1")


def test_an_experiment_cannot_be_changed():
    experiment = Experiment()
    with pytest.raises(ValidationError, match="frozen"):
        experiment.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        experiment.langevin.steps = 1
    assert experiment == Experiment()


def test_a_section_alone_is_checked_under_its_own_name():
    assert section("langevin", {"steps": 5}).steps == 5
    with pytest.raises(ConfigError, match=r"unknown key 'langevin\.stpes'; did you mean 'langevin\.steps'"):
        section("langevin", {"stpes": 5})
    with pytest.raises(ConfigError, match=r"langevin\.steps received 0.*allowed: int, >= 1"):
        section("langevin", {"steps": 0})


def test_the_base_config_is_what_its_tool_writes():
    assert SHIPPED["base"].read_text(encoding="utf-8") == base_config()


def test_the_base_config_is_the_defaults_and_names_every_setting():
    assert load_experiment("base") == Experiment()
    assert yaml.safe_load(base_config()) == Experiment().model_dump(mode="json")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_config_loads_and_opens_with_what_it_is(name):
    experiment = load_experiment(name)
    assert name == "base" or experiment.name == name
    first = SHIPPED[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert config_headline(SHIPPED[name]) == first[2:]
    assert first[2:].strip()


def test_the_default_config_is_shipped():
    assert DEFAULT_CONFIG in SHIPPED
    assert load_experiment() == load_experiment(DEFAULT_CONFIG)


def test_a_config_without_a_headline_has_none(write):
    assert config_headline(write("name: a\n# not the first line")) == ""


def test_every_setting_is_described():
    settings = {setting.path: setting for setting in describe_settings()}
    whole = Experiment().model_dump()
    paths = [
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in whole.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]
    assert list(settings) == paths
    for path, setting in settings.items():
        assert len(setting.description.strip()) > 10, path
        assert setting.type, path
    assert settings["langevin.steps"].type == "int, >= 1, <= 10000"
    assert settings["replay.policy"].type == "fifo | reservoir"


def test_truth_is_no_number():
    with pytest.raises(ConfigError, match=r"steps received true: give int, >= 1, <= 10000"):
        load_experiment("digits", ["langevin.steps=true"])


def test_the_example_of_the_readme_loads_from_any_folder(tmp_path):
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "my.yaml").write_text(example)
    experiment = load_experiment(tmp_path / "my.yaml")
    digits = load_experiment("digits")
    assert experiment.langevin.steps == 30
    assert experiment.langevin.step_size == digits.langevin.step_size
    assert experiment.name != digits.name


def test_an_entropy_term_that_could_never_take_part_is_refused():
    with pytest.raises(
        ConfigError, match=r"replay.capacity is 500, less than loss.entropy_minimum_fill \(1000\)"
    ):
        load_experiment("digits", ["replay.capacity=500"])
    assert load_experiment("digits", ["replay.capacity=500", "loss.entropy=0"]).replay.capacity == 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("langevin: {steps: 3}\nlangevin: {steps: 4}", "the key 'langevin' comes twice"),
        ("a: &a {b: *a}", "aliases"),
        ("name: 2024-99-99", "month must be in 1..12"),
    ],
)
def test_yaml_that_would_mislead_is_refused_in_one_line(tmp_path, text, words):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_experiment(tmp_path / "my.yaml")
    assert "\n" not in str(caught.value)


def test_samples_are_drawn_as_in_training_unless_told_otherwise():
    experiment = load_experiment("digits", ["langevin.step_size=0.3", "sampling.noise_scale=0.01"])
    assert chain_of_samples(experiment.sampling, experiment.langevin) == (0.3, 0.01)


def test_a_member_of_a_composition_may_lie_beside_the_config(tmp_path):
    (tmp_path / "other.yaml").write_text("name: other\n")
    (tmp_path / "mine.yaml").write_text("compose: {members: [{config: other}, {config: digits}, {}]}\n")
    members = load_experiment(tmp_path / "mine.yaml").compose.members
    assert [member.config for member in members] == [str(tmp_path / "other.yaml"), "digits", None]


def test_a_config_beside_goes_before_a_shipped_one_in_members_as_in_extends(write, tmp_path):
    write("name: other\n", "digits")
    write("name: other\n", "None")
    loaded = load_experiment(write("extends: digits\ncompose: {members: [{config: digits}, {}]}"))
    assert loaded.name == "other"
    assert [member.config for member in loaded.compose.members] == [str(tmp_path / "digits.yaml"), None]


def test_a_shipped_member_of_a_shipped_config_keeps_its_name(write, tmp_path, monkeypatch):
    """A path would make the result another one wherever the project lies."""
    monkeypatch.setattr("ebm_tf.config_files.CONFIG_FOLDER", tmp_path)
    write("name: other\n", "other")
    write("compose: {members: [{config: other}]}")
    assert load_experiment("mine").compose.members[0].config == "other"


def test_a_path_is_one_folder_wherever_it_is_read_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("folder", ["dataset.path=2024"])
    assert experiment.dataset.path == str(tmp_path / "2024")
    assert load_experiment("folder", ["dataset.path=~/x"]).dataset.path == str(Path.home() / "x")
