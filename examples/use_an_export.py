# An exported model in use: load, sample, score, refine, plot.
#
# Run it as a program, or cell by cell in an editor that knows "# %%":
#
#     python examples/use_an_export.py MODEL OUT
#
# MODEL is a folder that `python cli.py export --out MODEL` made, OUT a folder for pictures. It needs TensorFlow,
# NumPy and Matplotlib, and nothing of this project; so it may be copied along with the model.

# %% The model, and what it says of itself
import json
import sys
from pathlib import Path

import keras
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

model_folder, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(exist_ok=True)
about = json.loads((model_folder / "signature.json").read_text())
model = tf.saved_model.load(str(model_folder / "saved_model"))
energy, score, sample, refine = (model.signatures[name] for name in ("energy", "score", "sample", "refine"))
shape, steps = about["images"]["shape"], tf.constant(about["chain"]["steps"])
print(f"images {shape}, classes {about['classes'] or 'none'}, chains of {int(steps)} steps")

# %% Samples: chains that start from noise. A conditional model draws one image for each label
count = 12
labels = {"labels": tf.range(count) % len(about["classes"])} if about["classes"] else {}
wanted = labels or {"count": tf.constant(count)}
images = sample(**wanted, steps=steps, seed=tf.constant(1))["images"]

# %% Their energies, and those of noise: the lower, the likelier the model holds an image
noise = tf.random.stateless_uniform([count, *shape], seed=[1, 2])
of_samples = energy(images=images, **labels)["energy"].numpy()
of_noise = energy(images=noise, **labels)["energy"].numpy()
print(f"mean energy: samples {of_samples.mean():+.4f}, noise {of_noise.mean():+.4f}")

# %% The score, -dE/dx: the direction in which the energy falls fastest. A short way along it, the energy is lower
downhill = score(images=noise, **labels)["score"]
length = tf.norm(tf.reshape(downhill, [count, -1]), axis=1)
moved = noise + 1e-2 * downhill / tf.reshape(tf.maximum(length, 1e-12), [-1, 1, 1, 1])
after = energy(images=moved, **labels)["energy"].numpy()
print(f"a hundredth along the score: energies change by {(after - of_noise).mean():+.2e}")

# %% Refining: chains that start from your own images, here samples with a quarter of their pixels replaced by noise
replaced = tf.random.stateless_uniform([count, *shape], seed=[3, 4]) < 0.25
spoilt = tf.where(replaced, noise, images)
refined = refine(images=spoilt, **labels, steps=steps, seed=tf.constant(5))["images"]
of_spoilt = energy(images=spoilt, **labels)["energy"].numpy()
of_refined = energy(images=refined, **labels)["energy"].numpy()
print(f"mean energy: spoilt {of_spoilt.mean():+.4f}, refined {of_refined.mean():+.4f}")


# %% Pictures: a row of each kind, with the energy above each image
def draw(rows, path):
    """One row of images for each title, with their energies [n]."""
    size = (count, 1.3 * len(rows))
    figure, axes = plt.subplots(len(rows), count, figsize=size, squeeze=False, layout="constrained")
    for row, (title, (pictures, energies)) in zip(axes, rows.items()):
        for axis, picture, value in zip(row, np.asarray(pictures), energies):
            axis.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1)
            axis.set_title(f"{value:+.3f}", fontsize=7)
            axis.set_axis_off()
        row[0].text(-0.2, 0.5, title, transform=row[0].transAxes, rotation=90, va="center", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


rows = {
    "noise": (noise, of_noise),
    "samples": (images, of_samples),
    "spoilt": (spoilt, of_spoilt),
    "refined": (refined, of_refined),
}
draw(rows, out / "images.png")

# %% The same energy in Keras's own layers: three lines, and a network to look into or to build on
network = keras.models.model_from_json((model_folder / "keras/network.json").read_text())
network.load_weights(model_folder / "keras/energy.weights.h5")

of_keras = network([images, labels["labels"]] if labels else images).numpy()
print(
    f"Keras: {network.count_params()} weights, energies differ by {np.abs(of_keras - of_samples).max():.1e}"
)
