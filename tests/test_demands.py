"""What does not go together is refused in one line, before a run and in its stage by the same words."""

import pytest

from ebm_tf import demands
from ebm_tf.config import Langevin, Sampling
from ebm_tf.errors import ConfigError, MissingInput


@pytest.mark.parametrize(("classes", "has"), [(0, "mine has no labels"), (1, "mine has 1")])
def test_a_classifier_needs_two_classes(classes, has):
    with pytest.raises(
        ConfigError, match=rf"needs two classes or more; {has}\. Set extractor.name to another"
    ):
        demands.classes_to_tell_apart("mine", classes)
    demands.classes_to_tell_apart("mine", 2)


def test_labels_are_those_given_or_all_and_no_others():
    assert demands.wanted_labels((), 3) == (0, 1, 2)
    assert demands.wanted_labels((2, 2), 3) == (2, 2)
    assert demands.wanted_labels((), 0) == ()
    with pytest.raises(ConfigError, match=r"sampling.labels has 3, but the data set's classes are 0 to 2"):
        demands.wanted_labels((1, 3), 3)
    with pytest.raises(ConfigError, match=r"sampling.labels is \[1\], but the model knows no labels"):
        demands.wanted_labels((1,), 0)


GREY, COLOUR = (8, 8, 1), (8, 8, 3)


@pytest.mark.parametrize(
    ("label", "classes", "shape", "words"),
    [
        (3, 0, GREY, "has label 3, but its model is not conditional"),
        (None, 10, GREY, "has no label, but its model is conditional; give a label from 0 to 9"),
        (10, 10, GREY, "has label 10, but its model is conditional; give a label from 0 to 9"),
        (None, 0, COLOUR, "is a model of images of 8x8x3, this experiment's are 8x8x1"),
    ],
)
def test_a_member_has_to_fit(label, classes, shape, words):
    with pytest.raises(ConfigError, match=f"member 2 of compose.members {words}"):
        demands.member_fits(2, label, classes, shape, GREY)


def test_members_that_fit_pass():
    demands.member_fits(1, 9, 10, GREY, GREY)
    demands.member_fits(1, None, 0, list(GREY), GREY)


def test_another_data_set_has_the_model_s_shape():
    demands.images_of_one_shape("other", GREY, GREY)
    with pytest.raises(
        ConfigError,
        match="with images of 8x8x3, but the model is of 8x8x1; give that entry size=8 and colour=grey",
    ):
        demands.images_of_one_shape("other", COLOUR, GREY)


def test_a_split_of_one_image_is_refused():
    demands.images_to_compare({"train": 2, "test": 2})
    with pytest.raises(ConfigError, match="the test split has 1 image, and distances take 2 or more"):
        demands.images_to_compare({"train": 29, "test": 1})


def test_a_folder_has_to_be_there(tmp_path):
    demands.folder_there(None)
    demands.folder_there(str(tmp_path))
    with pytest.raises(MissingInput, match=r"dataset.path is .*nowhere, which is no folder"):
        demands.folder_there(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("sampling", "augmented", "words"),
    [
        ({"sampler": "mala", "augment_every": 2}, True, "mala draws from exp"),
        ({"augment_every": 2}, False, "no augmentation is on"),
        ({"sampler": "mala", "noise_scale": 0.0}, False, "its temperature is 0"),
        ({"temperature": 0.1}, False, "the langevin sampler has none"),
    ],
)
def test_a_sampler_is_not_asked_for_what_it_cannot_do(sampling, augmented, words):
    with pytest.raises(ConfigError, match=words):
        demands.chains_can_be_drawn(Sampling(**sampling), Langevin(), augmented)


def test_samplers_that_can_are_let_pass():
    demands.chains_can_be_drawn(Sampling(augment_every=2), Langevin(), True)
    demands.chains_can_be_drawn(Sampling(sampler="mala"), Langevin(), False)
    demands.chains_can_be_drawn(Sampling(sampler="mala", noise_scale=0.0, temperature=1.0), Langevin(), False)
