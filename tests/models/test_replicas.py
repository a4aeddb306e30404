"""Spectral vectors on several devices: the same as on one, inside and outside of `strategy.run`."""

import numpy as np

from tests.on_devices import results_on

ON_DEVICES = """
import sys
import numpy as np
import tensorflow as tf
from ebm_tf import config, devices
from ebm_tf.models.energy import build_energy_model
devices.configure(config.Compute(logical_cpus=int(sys.argv[1])))
strategy = devices.mirrored_strategy()
assert strategy.num_replicas_in_sync == int(sys.argv[1])
with strategy.scope():
    model = build_energy_model(config.Model(spectral_norm=True), (8, 8, 1), seed=0)

@tf.function
def inside():
    strategy.run(model.update_spectral_vectors)

@tf.function
def within_the_step():
    def replica(images):
        model.update_spectral_vectors()
        return model(images)
    return strategy.run(replica, args=(tf.fill([1, 8, 8, 1], 0.25),))

def copies():
    # What each device holds, [devices, numbers].
    each = [strategy.experimental_local_results(v) for v in model.non_trainable_variables]
    return np.stack([np.concatenate([v.numpy().ravel() for v in one]) for one in zip(*each)])

seen = {"start": copies()}
inside(); seen["inside"] = copies()
energies = strategy.experimental_local_results(within_the_step())
seen["step"], seen["energies"] = copies(), np.stack([e.numpy() for e in energies])
model.update_spectral_vectors(); seen["outside"] = copies()
with strategy.scope():
    model.update_spectral_vectors()
seen["scope"] = copies()
np.savez(sys.argv[2], **seen)
"""


def test_two_devices_update_as_one_does(tmp_path):
    one, two = results_on((1, 2), ON_DEVICES, tmp_path)
    assert len(two["start"]) == 2
    for when in one:
        for copy in two[when]:
            np.testing.assert_array_equal(copy, one[when][0], err_msg=when)
    moments = ("start", "inside", "step", "outside", "scope")
    for before, after in zip(moments, moments[1:]):
        assert np.abs(one[before] - one[after]).max() > 1e-6, after
