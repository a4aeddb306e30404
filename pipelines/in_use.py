"""Whether anybody works below a root: who does shares a lock, which who deletes unreferenced artifacts has alone."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebm_tf.errors import Busy


@contextmanager
def in_use(root: Path, wait: bool = True) -> Iterator[None]:
    """Work below a root; what is made or reused there is not taken for unreferenced before a link leads to it.

    A forked worker inherits it, and keeps it as long as it lives.

    Args:
        wait: while somebody is `alone` there.

    Raises:
        Busy: somebody is, and this does not wait.
    """
    with _opened(root) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise Busy(
                    f"unreferenced artifacts below {root} are being deleted; run again when it is done"
                ) from None
            print(
                f"waits: unreferenced artifacts below {root} are being deleted", file=sys.stderr, flush=True
            )
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the only one below a root.

    Raises:
        Busy: others are at work there.
    """
    with _opened(root) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"a run is at work below {root}, and may need what no link leads to yet; clean --unreferenced again "
                "when it is done"
            ) from None
        yield


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    (root / "artifacts").mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / "artifacts" / ".in-use", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
