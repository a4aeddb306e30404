"""What Python goes on holding after something was done."""

import gc
import sys


def blocks_kept_by(act, times=300):
    """Blocks of memory that Python holds more, for each time that something is done after the first 50."""
    for _ in range(50):
        act()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        act()
    gc.collect()
    return (sys.getallocatedblocks() - before) / times
