"""Workers that train together, from when they have met to when they part.

The chief sends the state that training starts out from, at the beginning and after a roll-back, as the files of its
checkpoint; so nothing that is in one can be missing, and workers need no common disk. Between these, gradients and
samples go the ways of TensorFlow's collectives.

A peer that ends or dies is noticed in two ways: TensorFlow's collectives fail, and the connection ends or falls
silent. The latter tells who and why, so that is what people are told, whichever comes first.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Optional

import tensorflow as tf

from ebm_tf import devices
from ebm_tf.errors import EBMError, as_one_line
from ebm_tf.workers.channel import SILENCE_SECONDS, Channel, Message, reason_of
from ebm_tf.workers.cluster import AGAIN, Cluster
from ebm_tf.workers.meeting import dismiss, ended

VERDICT_SECONDS = SILENCE_SECONDS + 5.0
"""That the reason of failed collectives is waited for; longer than it takes to notice a silence."""
GRACE_SECONDS = 30.0
"""That what this process does has to end by itself when a peer is gone."""
OF_THE_EXCHANGE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)
"""What collectives end with when a peer does not take part."""

End = Callable[[EBMError], NoReturn]
"""Ends the process at once with one line."""


class Team:
    """The other workers, as one of them sees them. A context: whoever leaves it by an error tells the others why.

    Args:
        cluster: all workers.
        peers: connections by number: the chief has one to each other worker, these have one to the chief.
        end: used when a peer is gone and this process does not come to notice, in a long evaluation for example.

    Raises:
        EBMError: instead of what TensorFlow raises, when a peer has ended or is gone.
    """

    def __init__(self, cluster: Cluster, peers: Mapping[int, Channel], end: End) -> None:
        self.cluster, self.peers, self._end = cluster, peers, end
        self._messages: queue.Queue[Optional[Message]] = queue.Queue()
        self._loss: Optional[EBMError] = None
        self._known, self._over = threading.Event(), threading.Event()

    def __enter__(self) -> Team:
        for index, channel in self.peers.items():
            channel.start(partial(self._hear, index), partial(self._miss, index))
        threading.Thread(target=self._outlive_nobody, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        shown = self._explained(error)
        self._over.set()
        if isinstance(shown, Exception):
            dismiss(self.peers.values(), as_one_line(shown))
        for channel in self.peers.values():
            channel.close()
        if shown is not None and shown is not error:
            raise shown from error

    def strategy(self) -> tf.distribute.Strategy:
        """TensorFlow's, over all workers; returns when all have asked for it."""
        return devices.multi_worker_strategy(self.cluster.workers, self.cluster.index)

    def share(self, step: int, files: Sequence[Path]) -> None:
        """The chief's: send the state after `step` steps, from which all go on."""
        for index, channel in self.peers.items():
            try:
                channel.send("state", files, step=step)
            except OSError as error:
                self._miss(index, reason_of(error))
                raise self._lost() from error

    def finish(self) -> None:
        """The chief's: training is done, and from now on others may go."""
        self._over.set()
        for channel in self.peers.values():
            with suppress(OSError):
                channel.send("done")

    def state(self) -> Optional[int]:
        """The others': wait for the chief's next state; returns its step, None when training is done.

        Raises:
            EBMError: the chief ended or is gone.
        """
        message = self._messages.get()
        if message is None:
            raise self._lost()
        return int(message["step"]) if message["kind"] == "state" else None

    def _hear(self, index: int, message: Message) -> None:
        if message["kind"] == "ended":
            self._lose(ended(self.cluster.named(index), message))
        else:
            self._messages.put(message)

    def _miss(self, index: int, reason: str) -> None:
        self._lose(EBMError(f"{self.cluster.named(index)} is gone ({reason}); {AGAIN}"))

    def _lose(self, loss: EBMError) -> None:
        """Take note of the first peer that is gone."""
        if self._loss is None and not self._over.is_set():
            self._loss = loss
            self._known.set()
            self._messages.put(None)

    def _lost(self) -> EBMError:
        assert self._loss is not None
        return self._loss

    def _explained(self, error: Optional[BaseException]) -> Optional[BaseException]:
        """What is to be told of an error: that a peer is gone, where that is behind it."""
        if not isinstance(error, OF_THE_EXCHANGE):
            return error
        self._known.wait(VERDICT_SECONDS)
        return self._loss or EBMError(
            f"workers do not reach each other ({as_one_line(error)}); see that each can connect to all of "
            f"{', '.join(self.cluster.workers)}, then {AGAIN}"
        )

    def _outlive_nobody(self) -> None:
        """End the process should it not have ended long after a peer."""
        self._known.wait()
        if not self._over.wait(GRACE_SECONDS):
            dismiss(self.peers.values(), self._lost())
            self._end(self._lost())


class Alone:
    """In place of a team where one process trains."""

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nobody to tell."""

    def strategy(self) -> tf.distribute.Strategy:
        """TensorFlow's, over the devices of this process."""
        return devices.mirrored_strategy()

    def share(self, step: int, files: Sequence[Path]) -> None:
        """With nobody."""

    def finish(self) -> None:
        """Nobody waits."""
