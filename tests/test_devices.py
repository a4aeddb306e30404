"""Which devices are used, and what is said of those that are not there."""

import numpy as np
import pytest

from ebm_tf import devices
from ebm_tf.config import Compute
from ebm_tf.errors import ConfigError
from tests.on_devices import results_on


@pytest.mark.parametrize(
    ("names", "logical_cpus", "line"),
    [
        (
            ("GPU:7",),
            1,
            r"names GPU:7, but there is CPU:0 \(GPUs that TensorFlow finds, and compute.logical_cpus\)",
        ),
        (("CPU:1",), 1, "names CPU:1, but there is CPU:0 "),
        (("CPU:0", "CPU:3", "CPU:2"), 2, "names CPU:3, CPU:2, but there is CPU:0, CPU:1 "),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(names, logical_cpus, line):
    with pytest.raises(ConfigError, match=line):
        devices.configure(Compute(devices=names, logical_cpus=logical_cpus))


CHOSEN = """
import sys
import numpy as np
from ebm_tf import config, devices
chosen = [f"CPU:{number}" for number in range(4) if number != 1][: int(sys.argv[1])]
devices.configure(config.Compute(logical_cpus=4, devices=chosen))
strategy = devices.mirrored_strategy()
np.savez(sys.argv[2], replicas=strategy.num_replicas_in_sync, here=devices.in_one_process(strategy))
"""


def test_only_the_devices_that_are_named_take_part(tmp_path):
    for count, found in zip((1, 3), results_on((1, 3), CHOSEN, tmp_path)):
        np.testing.assert_array_equal(found["replicas"], count)
        assert found["here"]
