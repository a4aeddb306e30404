"""The most memory of a process: its own, and no less than what it has held."""

import subprocess
import sys

import pytest

from ebm_tf.memory import MIB, STATUS, peak_mib

MEASURE = (
    "from ebm_tf.memory import peak_mib\n"
    "before = peak_mib()\n"
    "held = bytearray(b'x' * (200 << 20))\n"
    "del held\n"
    "print(before, peak_mib())\n"
)


def peaks():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def test_what_was_held_and_given_back_counts():
    before, after = peaks()
    assert 190 < after - before < 420, "the bytes, and perhaps their copy"


@pytest.mark.skipif(not STATUS.exists(), reason="there is no /proc here")
def test_what_the_parent_held_does_not_count():
    held = bytearray(b"x" * (300 << 20))
    before, _ = peaks()
    assert peak_mib() > 300
    assert before < 150
    assert len(held) == 300 * MIB
