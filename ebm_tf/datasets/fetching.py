"""TFDS data sets brought to disk: what is there is used, and what cannot be fetched is said within seconds.

TFDS itself goes on trying for minutes where there is no network; so it is asked for only once a host has answered.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ebm_tf.datasets.registry import Download
from ebm_tf.errors import EBMError, MissingInput

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

PROBE_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}


def fetch(
    builder: tfds.core.DatasetBuilder, name: str, download: Download, report: Callable[[str], None]
) -> None:
    """Let TFDS download and prepare a data set, unless it is prepared already.

    Args:
        name: of the data set, for messages.
        report: called with what is being done.

    Raises:
        MissingInput: a package, a file, disk space or the network is missing, or what came is not what it should be.
    """
    if builder.is_prepared():
        return
    folder = Path(builder.data_dir_root)
    by_hand = folder / "downloads" / "manual"
    _check_package(name, download)
    _check_disk(name, folder, 2 * download.mebibytes)
    if not all((by_hand / file).is_file() for file in download.files):
        if download.manual:
            raise MissingInput(
                f"{name} has to be fetched by hand: put {', '.join(download.files)} ({download.manual}) into "
                f"{by_hand}"
            )
        if lost := unreachable(download.hosts):
            raise MissingInput(
                f"{name} is not in {folder}, and {', '.join(lost)} cannot be reached to download it (about "
                f"{download.mebibytes} MiB); go online, or put {', '.join(download.files)} into {by_hand}, or give "
                "the folder that has it as compute.data_dir"
            )
    report(f"TFDS fetches and prepares {name}, about {download.mebibytes} MiB")
    _prepare(builder, name, by_hand, download)


def unreachable(hosts: Sequence[str], seconds: float = PROBE_SECONDS) -> list[str]:
    """Those of the hosts (http://name or https://name) that take no connection within so many seconds in all."""
    answered: set[str] = set()
    probes = [threading.Thread(target=_probe, args=(host, seconds, answered), daemon=True) for host in hosts]
    deadline = time.monotonic() + seconds
    for probe in probes:
        probe.start()
    for probe in probes:  # looking up a name knows no time limit, so it is left behind
        probe.join(max(0.0, deadline - time.monotonic()))
    return [host for host in hosts if host not in answered]


def _probe(host: str, seconds: float, answered: set[str]) -> None:
    try:
        with socket.create_connection(_address(host), timeout=seconds):
            answered.add(host)
    except OSError:
        pass


def _address(host: str) -> tuple[str, int]:
    """Where a connection to a host begins: at its proxy, if there is one."""
    parts = urlsplit(host)
    proxy = getproxies().get(parts.scheme) or getproxies().get("all")
    if proxy and not proxy_bypass(str(parts.hostname)):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return str(parts.hostname), parts.port or PORTS.get(parts.scheme, 80)


def _check_package(name: str, download: Download) -> None:
    if download.package and importlib.util.find_spec(download.package[0]) is None:
        raise MissingInput(
            f"TFDS reads {name} by the package {download.package[0]}, which is not installed; "
            f"pip install --no-deps {download.package[1]}"
        )


def _check_disk(name: str, folder: Path, mebibytes: int) -> None:
    """The archive, and the records made of it, need room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free >> 20
    except OSError as error:
        raise MissingInput(f"compute.data_dir {folder} cannot be used: {error}") from error
    if free < mebibytes:
        raise MissingInput(
            f"{name} takes about {mebibytes} MiB to download and prepare, and {free} MiB are free at {folder}; make "
            "room, or give another compute.data_dir"
        )


def _prepare(builder: tfds.core.DatasetBuilder, name: str, by_hand: Path, download: Download) -> None:
    import tensorflow_datasets as tfds

    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
    except (EBMError, MemoryError):
        raise
    except (
        Exception
    ) as error:  # of requests, urllib, tarfile, zipfile, TFDS: whatever a bad file or line causes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingInput(
            f"TFDS cannot fetch and prepare {name} ({type(error).__name__}: {first}); try again, or put "
            f"{', '.join(download.files)} into {by_hand}"
        ) from error
