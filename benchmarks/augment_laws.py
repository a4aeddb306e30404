"""How the draws of KerasCV's own layers differ from ours, on photographs where pixels matter.

Crops: RandomCropAndResize draws the aspect ratio evenly and cuts what sticks out. Brightness: RandomBrightness adds;
torchvision's, with which the paper's numbers were made, multiplies, and so do we. Hue: RandomHue turns by half its
factor.
"""

from __future__ import annotations

import os

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf
from keras_cv import layers
from sklearn.datasets import load_sample_images

from ebm_tf.augment import ASPECT, REACH, Augmenter, draw
from ebm_tf.config import Augmentation

PAPER = Augmentation(crop_area=0.02, flip=True, colour_strength=1.0)  # of CIFAR-10 (S B.2)
DRAWS, SIZE = 5000, 32
FLAT = 0.02  # standard deviation of pixels below which an image shows nothing


def main() -> None:
    layer = layers.RandomCropAndResize((SIZE, SIZE), (PAPER.crop_area, 1.0), ASPECT)
    one = tf.function(lambda: tf.stack(layer.get_random_transformation()[0]))
    print(
        f"crops                 mean area  above 0.9  wide      ({DRAWS} draws, area from {PAPER.crop_area})"
    )
    _print_crops("KerasCV's draw", np.stack([one().numpy() for _ in range(DRAWS)]))
    _print_crops("ours", draw(PAPER, DRAWS, tf.constant([0, 0])).boxes.numpy())

    patches = _patches(2000)
    brightness = layers.RandomBrightness(REACH, value_range=(0, 1))
    factors = draw(PAPER, len(patches), tf.constant([0, 0])).brightness[:, None, None, None]
    print(
        "\nbrightness, s = 1     clipped    flat      (shares of pixels, and of images with hardly any contrast)"
    )
    _print_pixels("before", patches)
    _print_pixels("KerasCV's draw adds", brightness(patches).numpy())
    _print_pixels("ours multiplies", np.clip(patches * factors, 0, 1))
    _print_pixels("ours, all steps", Augmenter(PAPER, (SIZE, SIZE, 3))(patches, tf.constant([0, 0])).numpy())

    red = np.tile(np.array([1, 0, 0], np.float32), (DRAWS, 1, 1, 1))
    hue = tf.image.rgb_to_hsv(layers.RandomHue(0.2, value_range=(0, 1))(red))[..., 0].numpy()
    print(f"\nhue factor 0.2        largest turn of red {np.abs((hue + 0.5) % 1 - 0.5).max():.3f}")


def _patches(count: int) -> np.ndarray:
    """Random squares of scikit-learn's two photographs, shrunk by two: float32 [count, 32, 32, 3]."""
    random = np.random.default_rng(0)
    photographs = [np.asarray(image[:426, :640], np.float32) / 255 for image in load_sample_images().images]
    small = [image.reshape(213, 2, 320, 2, 3).mean((1, 3)) for image in photographs]
    corners = random.integers(0, (213 - SIZE, 320 - SIZE), (count, 2))
    return np.stack([small[i % 2][y : y + SIZE, x : x + SIZE] for i, (y, x) in enumerate(corners)])


def _print_crops(name: str, boxes: np.ndarray) -> None:
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = height * width
    print(f"  {name:20}  {area.mean():.3f}      {(area > 0.9).mean():.3f}      {(width > height).mean():.3f}")


def _print_pixels(name: str, images: np.ndarray) -> None:
    clipped = ((images <= 0) | (images >= 1)).mean()
    print(f"  {name:20}  {clipped:.3f}      {(images.std((1, 2, 3)) < FLAT).mean():.3f}")


if __name__ == "__main__":
    main()
