"""How workers find each other before TensorFlow connects them, and make sure that they would train the same thing.

The chief listens where TensorFlow will listen afterwards, so that nothing but the cluster's addresses has to be
known and let through. The others connect to it, again and again until it is there, and say who they are and what
they would train. When all have come and agree the chief lets them go on; these connections stay, see `team.py`.

There are no passwords, here as in TensorFlow's own connections: a cluster belongs in a network that is trusted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import ConfigError, EBMError
from ebm_tf.nested import flat
from ebm_tf.workers.channel import Channel, Gone, Message, reason_of
from ebm_tf.workers.cluster import Cluster

PAUSE_SECONDS = 0.5
CONNECT_SECONDS, HELLO_SECONDS = 10.0, 5.0
SHOWN = 4
"""Values that differ, of which one line tells."""

Tell = Callable[[str], None]
"""Is told what is waited for."""
Identity = Mapping[str, Any]
"""What a worker would train, and with what: values by name, as JSON has them."""


def gather(cluster: Cluster, identity: Identity, wait_seconds: float, tell: Tell) -> dict[int, Channel]:
    """The chief's part: wait for all others, and let them go on together.

    Returns:
        A connection to each, by its number.

    Raises:
        ConfigError: one of them would train something else; all are told so.
        EBMError: one does not come in time, or this address cannot be listened at.
    """
    until = time.monotonic() + wait_seconds
    come: dict[int, Channel] = {}
    told = ""
    try:
        with _listening(cluster) as listener:
            while missing := _missing(cluster, come):
                for index in [index for index, channel in come.items() if channel.hung_up()]:
                    come.pop(index).close()  # and may come again
                if missing != told:
                    tell(f"waits for {missing}, up to {wait_seconds:g} s")
                    told = missing
                if time.monotonic() > until:
                    raise EBMError(
                        f"{missing} did not come within {wait_seconds:g} s; start the command join there at about "
                        "the same time as this, or raise compute.wait_seconds"
                    )
                for channel in come.values():
                    channel.beat()
                _admit(listener, cluster, identity, come)
    except EBMError as error:
        dismiss(come.values(), error)
        raise
    for channel in come.values():
        with suppress(OSError):  # of one that has just gone; its team will say so
            channel.send("go")
    return come


def join(cluster: Cluster, identity: Identity, wait_seconds: float, tell: Tell, incoming: Path) -> Channel:
    """The other workers' part: find the chief, and wait until all are there.

    Args:
        incoming: folder for the files that the chief will send.

    Raises:
        ConfigError: the chief would train something else.
        EBMError: there is no chief in time, or it ended meanwhile, or this worker's address cannot be listened at.
    """
    _listening(cluster).close()
    tell(f"waits for {cluster.named(0)}, up to {wait_seconds:g} s")
    until, reason = time.monotonic() + wait_seconds, ""
    while time.monotonic() <= until:
        try:
            return _admitted(cluster, identity, incoming)
        except (OSError, Gone) as error:
            reason = reason_of(error)
            time.sleep(PAUSE_SECONDS)
    raise EBMError(
        f"{cluster.named(0)} did not answer within {wait_seconds:g} s ({reason}); start run --task TrainEBM there "
        "at about the same time as this, or raise compute.wait_seconds. It answers when its training begins, and "
        "neither while that goes on nor when it is done"
    )


def dismiss(channels: Iterable[Channel], error: EBMError) -> None:
    """Tell peers that this worker ends, and why."""
    for channel in channels:
        with suppress(OSError):  # of one that is gone itself
            channel.send("ended", line=str(error), exit_code=error.exit_code)
        channel.close()


def ended(who: str, message: Message) -> EBMError:
    """What a peer said when it ended, as an error with its exit code."""
    error = EBMError(f"{who} ended: {message['line']}")
    error.exit_code = int(message["exit_code"])
    return error


def _admitted(cluster: Cluster, identity: Identity, incoming: Path) -> Channel:
    """Say to the chief who this is, and wait until it lets this worker go on.

    Raises:
        OSError, Gone: there is no chief, or not any more.
        EBMError: it says that it ends.
    """
    channel = Channel(socket.create_connection(_place(cluster.chief), timeout=CONNECT_SECONDS), incoming)
    try:
        channel.send("hello", index=cluster.index, workers=list(cluster.workers), identity=dict(identity))
        answer = channel.read()
        if answer["kind"] == "ended":
            raise ended(cluster.named(0), answer)
    except BaseException:
        channel.close()
        raise
    return channel


def _listening(cluster: Cluster) -> socket.socket:
    """A socket that listens where TensorFlow will; closed again, it leaves the place free."""
    _, port = _place(cluster.address)
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise EBMError(
            f"{cluster.named(cluster.index)} cannot listen on port {port} ({reason}); end what has it, or give "
            "another address"
        ) from error
    listener.settimeout(PAUSE_SECONDS)
    return listener


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _missing(cluster: Cluster, come: Mapping[int, Channel]) -> str:
    return ", ".join(cluster.named(index) for index in range(1, len(cluster.workers)) if index not in come)


def _admit(listener: socket.socket, cluster: Cluster, identity: Identity, come: dict[int, Channel]) -> None:
    """Take in one more worker, if one is at the door; whoever else knocks is sent away."""
    try:
        connection, _ = listener.accept()
    except socket.timeout:
        return
    channel = Channel(connection)
    try:
        connection.settimeout(HELLO_SECONDS)
        hello = channel.read()
        index, workers, theirs = int(hello["index"]), tuple(hello["workers"]), hello["identity"]
    except (Gone, KeyError, TypeError, ValueError):  # no worker, but something that tries ports
        channel.close()
        return
    if index in come and workers == cluster.workers:
        dismiss(
            [channel],
            ConfigError(f"{cluster.named(index)} is there already; give each process its own index"),
        )
        return
    if problem := _problem(index, workers, theirs, cluster, identity):
        error = ConfigError(problem)
        dismiss([channel], error)
        raise error
    come[index] = channel


def _problem(
    index: int, workers: tuple[str, ...], theirs: Identity, cluster: Cluster, own: Identity
) -> Optional[str]:
    """Why a worker cannot take part, if it cannot."""
    if workers != cluster.workers:
        return (
            f"the cluster of worker {index} is {', '.join(workers)}, that of the chief {', '.join(cluster.workers)}; "
            "give all workers the same addresses in the same order"
        )
    found = _differences(theirs, own, f"worker {index}")
    if not found:
        return None
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"{cluster.named(index)} would train something else: {'; '.join(found[:SHOWN])}{more}; start all workers "
        "with the same program, data, --config and --set"
    )


def _differences(theirs: Mapping[str, Any], own: Mapping[str, Any], who: str) -> list[str]:
    """Each value that differs, such as "training.batch_size is 8 on the chief and 16 on worker 1"."""
    on_them, on_the_chief = dict(flat(theirs)), dict(flat(own))
    return [
        f"{name} is {on_the_chief.get(name)} on the chief and {on_them.get(name)} on {who}"
        for name in dict.fromkeys([*on_the_chief, *on_them])
        if on_the_chief.get(name) != on_them.get(name)
    ]
