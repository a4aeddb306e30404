"""Augmentation of images drawn from the replay buffer (method.md section 5, S B.2): KerasCV's layers, our draws.

KerasCV's layers draw from generators with a state, which a resumed run would not get back; their `seed` covers only
some of the draws, and in TensorFlow's deterministic mode the others fail. So each layer is called where it turns an
image and a given transformation into an image, and `draw` makes the transformations from a seed, image by image.

What is in force, in this order, with s the colour strength:

| what | law |
| --- | --- |
| crop | area U(crop_area, 1) of the image, aspect ratio log-uniform in 3/4..4/3 as far as it fits; bilinear |
| flip | left to right, half of the images |
| brightness | x f, with f ~ U(1 - 0.8 s, 1 + 0.8 s) |
| contrast | (x - m) f + m, with m the mean of each channel, f as above |
| saturation | S of HSV times f, as above |
| hue | H of HSV + t, with t ~ U(-hue s, hue s) of the colour circle |
| grey | 0.299 R + 0.587 G + 0.114 B in all three channels |

Brightness to hue come together, with `jitter_probability`; after each of them pixels are clipped to [0, 1]. Images of
one channel have no colours: for them saturation, hue and grey are left out.

Two laws differ on purpose from what the layers draw by themselves (`benchmarks/augment_laws.py` has the figures):

- KerasCV's brightness adds up to 0.8 s, as SimCLR's first code for TensorFlow; torchvision's, with which the paper's
  numbers were made, multiplies. At s = 1 adding clips 40 % of the pixels of photographs, multiplying 14 %. So we
  multiply: the layer is given the difference (f - 1) x to add.
- KerasCV's crop draws the aspect ratio evenly, which makes 56 % of crops wide, and cuts crops that stick out, which
  leaves 5 % of them above nine tenths of the area instead of 10 %. Its hue factor h turns by up to h / 2.
"""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import tensorflow as tf

from ebm_tf.config import Augmentation
from ebm_tf.errors import ConfigError
from ebm_tf.noise import uniform_rows

ASPECT = (3 / 4, 4 / 3)  # of SimCLR's crops, width over height
REACH = 0.8  # brightness, contrast and saturation change by up to this times s (SimCLR)
INSIDE = 1 - 1e-6  # a crop ends this far from the border, or rounding would sample black from outside
UNUSED_SEED = 1  # without one, layers ask for a random generator, which deterministic mode refuses


class Draws(NamedTuple):
    """What is done to each of B images.

    boxes: [B, 4], top, left, bottom and right of the part that is kept, as shares of height and width.
    flip, jitter, grey: [B] bool. brightness, contrast, saturation: [B], factors. hue: [B], turn as a share of the
    colour circle. These four count where `jitter` is true.
    """

    boxes: tf.Tensor
    flip: tf.Tensor
    jitter: tf.Tensor
    brightness: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor
    hue: tf.Tensor
    grey: tf.Tensor


Step = Callable[[tf.Tensor, Draws], tf.Tensor]
"""Images [B, H, W, C] and what is to be done to them, to images."""


def draw(
    settings: Augmentation, count: int | tf.Tensor, seed: tf.Tensor, first: int | tf.Tensor = 0
) -> Draws:
    """The draws of images `first` to `first + count - 1`; those of image i depend on (seed, i) alone.

    Args:
        count: images, int32 scalar.
        seed: int32 [2].
        first: number of the first image, for a batch that is one of several.
    """
    columns = len(Draws._fields) + 3
    uniform = uniform_rows(first, count, [columns], seed)
    area, shape, top, left, flip, jitter, brightness, contrast, saturation, hue, grey = tf.unstack(
        uniform, axis=1
    )
    reach, turn = REACH * settings.colour_strength, settings.hue * settings.colour_strength
    colours = settings.colour_strength > 0
    return Draws(
        boxes=crop_boxes(settings.crop_area + (1 - settings.crop_area) * area, shape, top, left),
        flip=flip < (0.5 if settings.flip else 0.0),
        jitter=jitter < (settings.jitter_probability if colours else 0.0),
        brightness=1 + reach * (2 * brightness - 1),
        contrast=1 + reach * (2 * contrast - 1),
        saturation=1 + reach * (2 * saturation - 1),
        hue=turn * (2 * hue - 1),
        grey=grey < (settings.grey_probability if colours else 0.0),
    )


def crop_boxes(area: tf.Tensor, shape: tf.Tensor, top: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """Crops of given areas, their shapes and places by numbers of U(0, 1).

    Args:
        area: [B], shares of the image, in (0, 1]. shape, top, left: [B], in [0, 1].

    Returns:
        float32 [B, 4], as in `Draws`.

    A crop fits if |log aspect| <= -log area, so the aspect ratio is drawn within that. Computed in float64: the
    last bit of log and exp depends on an image's place in the batch, and does not survive the rounding to float32.
    """
    area, shape, top, left = (tf.cast(values, tf.float64) for values in (area, shape, top, left))
    limit = tf.minimum(-tf.math.log(area), math.log(ASPECT[1]))
    stretch = tf.exp((shape - 0.5) * limit)  # square root of the aspect ratio
    height, width = tf.sqrt(area) / stretch, tf.sqrt(area) * stretch
    top, left = top * (1 - height), left * (1 - width)
    boxes = tf.stack([top, left, top + height, left + width], axis=1)
    return tf.cast(tf.clip_by_value(boxes, 0.0, 1.0) * INSIDE, tf.float32)


class Augmenter:
    """Augments batches; KerasCV is imported only if there is anything to do.

    Args:
        settings: what is done, and how strongly.
        image_shape: height, width, channels.

    Raises:
        ConfigError: colours are to change, but the images have neither one channel nor three.
    """

    def __init__(self, settings: Augmentation, image_shape: tuple[int, int, int]) -> None:
        channels = image_shape[2]
        if settings.colour_strength > 0 and channels not in (1, 3):
            raise ConfigError(
                f"augmentation.colour_strength is {settings.colour_strength:g}, but the images have {channels} "
                "channels; colours change in images of 1 or 3, give 0"
            )
        self.settings, self.image_shape = settings, image_shape
        self._steps = _steps(settings, image_shape) if settings.active else []

    def __call__(self, images: tf.Tensor, seed: tf.Tensor, first: int | tf.Tensor = 0) -> tf.Tensor:
        """Augmented images: each by its own draw, which depends on (seed, its number) and not on the batch.

        Args:
            images: float32 [B, H, W, C] in [0, 1].
            seed: int32 [2].
            first: number of the first image, for a batch that is one of several.

        Returns:
            float32 [B, H, W, C] in [0, 1]; the very same images where nothing is to be done.
        """
        if not self.settings.active:
            return images
        with tf.device("/CPU:0"):
            return self.apply(images, draw(self.settings, tf.shape(images)[0], seed, first))

    def apply(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Images after the given draws, as far as the settings switch their steps on."""
        shape = images.shape
        for step in self._steps:
            images = tf.clip_by_value(step(images, draws), 0.0, 1.0)
        return tf.ensure_shape(images, shape)


def _steps(settings: Augmentation, image_shape: tuple[int, int, int]) -> list[Step]:
    """The steps that the settings switch on, in their order."""
    colour = image_shape[2] == 3
    steps: list[Step] = []
    if settings.crop_area < 1:
        steps.append(_crop(settings, image_shape))
    if settings.flip:
        steps.append(_flip())
    if settings.colour_strength > 0:
        steps.append(_jitter(settings, colour))
        if colour:
            steps.append(_grey())
    return steps


def _crop(settings: Augmentation, image_shape: tuple[int, int, int]) -> Step:
    from keras_cv.layers import RandomCropAndResize

    area = (settings.crop_area, 1.0)
    layer = RandomCropAndResize(tuple(image_shape[:2]), area, ASPECT, seed=UNUSED_SEED, dtype="float32")
    spec = tf.TensorSpec(image_shape, tf.float32)

    def step(images: tf.Tensor, draws: Draws) -> tf.Tensor:
        return tf.map_fn(
            lambda pair: layer.augment_image(pair[0], transformation=pair[1][None]),
            (images, draws.boxes),
            fn_output_signature=spec,
        )

    return step


def _flip() -> Step:
    from keras_cv.layers import RandomFlip

    layer = RandomFlip("horizontal", seed=UNUSED_SEED, dtype="float32")

    def step(images: tf.Tensor, draws: Draws) -> tf.Tensor:
        flip = tf.cast(draws.flip, tf.float32)[:, None]  # the layer flips where this is above 1 - rate
        chances = {"flip_horizontals": flip, "flip_verticals": tf.zeros_like(flip)}
        return layer.augment_images(images, transformations=chances)

    return step


def _jitter(settings: Augmentation, colour: bool) -> Step:
    """The parts of KerasCV's RandomColorJitter, in its order; the whole would make its own draws."""
    from keras_cv.layers import RandomBrightness, RandomContrast, RandomHue, RandomSaturation

    unit, options = (0, 1), {"seed": UNUSED_SEED, "dtype": "float32"}
    brightness = RandomBrightness(factor=1.0, value_range=unit, **options)
    contrast = RandomContrast(value_range=unit, factor=1.0, **options)
    saturation = RandomSaturation(factor=1.0, **options)
    hue = RandomHue(factor=1.0, value_range=unit, **options)

    def step(images: tf.Tensor, draws: Draws) -> tf.Tensor:
        of_each = (slice(None), None, None, None)
        change = (draws.brightness[of_each] - 1) * images  # what the layer adds, so that it multiplies
        changed = brightness.augment_images(images, transformations=change)
        changed = contrast.augment_images(changed, transformations=draws.contrast[of_each])
        if colour:
            share = draws.saturation / (1 + draws.saturation)  # the layer's factor is share / (1 - share)
            changed = saturation.augment_images(changed, transformations=share)
            changed = hue.augment_images(changed, transformations=draws.hue)
        return tf.where(draws.jitter[of_each], changed, images)

    return step


def _grey() -> Step:
    from keras_cv.layers import Grayscale

    layer = Grayscale(output_channels=3, seed=UNUSED_SEED, dtype="float32")

    def step(images: tf.Tensor, draws: Draws) -> tf.Tensor:
        return tf.where(draws.grey[:, None, None, None], layer.augment_images(images), images)

    return step
