"""A connection between two workers: messages, files that come with them, and signs of life.

A message is the length of a JSON object (4 bytes), the object, and after it the bytes of the files that it lists. A
peer that says nothing for SILENCE_SECONDS is gone, as is one whose connection ends; so that a peer which computes is
not taken for gone, each side has a thread that speaks every BEAT_SECONDS.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import EBMError
from ebm_tf.files import inside

BEAT_SECONDS = 4.0
SILENCE_SECONDS = 20.0
LARGEST_OBJECT = 1 << 24
PIECE = 1 << 20
LENGTH = struct.Struct(">I")
BEAT = "beat"
LAST = ("done", "ended")
"""Messages after which a peer may go."""

Message = dict[str, Any]


class Gone(Exception):
    """The peer is gone; the text says how that was noticed."""


class Channel:
    """One end of a connection that was made.

    Args:
        connection: to the peer.
        incoming: folder for files that the peer sends; without one it may send none.
    """

    def __init__(self, connection: socket.socket, incoming: Optional[Path] = None) -> None:
        self._connection, self._incoming = connection, incoming
        self._sending, self._closed = threading.Lock(), threading.Event()
        connection.settimeout(SILENCE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self, on_message: Callable[[Message], None], on_loss: Callable[[str], None]) -> None:
        """Listen and beat from now on, in threads of their own.

        Args:
            on_message: is given each message; its files are in the folder for them by then.
            on_loss: is told how it was noticed that the peer is gone; not of one that had sent one of LAST.
        """
        self._connection.settimeout(SILENCE_SECONDS)
        threading.Thread(target=self._listen, args=(on_message, on_loss), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, kind: str, files: Sequence[Path] = (), **fields: Any) -> None:
        """Send a message with files.

        Raises:
            OSError: the peer does not take it.
        """
        sizes = {file.name: file.stat().st_size for file in files}
        text = json.dumps({"kind": kind, "files": sizes, **fields}).encode()
        with self._sending:
            self._connection.sendall(LENGTH.pack(len(text)) + text)
            for file in files:
                with file.open("rb") as opened:
                    while piece := opened.read(PIECE):
                        self._connection.sendall(piece)

    def read(self) -> Message:
        """The next message that is no sign of life; for use before `start`.

        Raises:
            Gone: the peer is, or does not speak as a worker does.
        """
        while True:
            try:
                message = self._read()
            except (OSError, ValueError, EBMError) as error:
                raise Gone(reason_of(error)) from error
            if message["kind"] != BEAT:
                return message

    def beat(self) -> None:
        """A sign of life, for use before `start`; a peer that is gone is noticed elsewhere."""
        with suppress(OSError):
            self.send(BEAT)

    def hung_up(self) -> bool:
        """Whether the peer has ended the connection, for use before `start`."""
        readable, _, _ = select.select([self._connection], [], [], 0)
        try:
            return bool(readable) and not self._connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """End the connection. The peer gets what was sent before."""
        self._closed.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _listen(self, on_message: Callable[[Message], None], on_loss: Callable[[str], None]) -> None:
        kind = None
        while kind not in LAST:
            try:
                message = self.read()
            except Gone as gone:
                if not self._closed.is_set():
                    on_loss(str(gone))
                return
            kind = message["kind"]
            on_message(message)

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            self.beat()

    def _read(self) -> Message:
        (length,) = LENGTH.unpack(self._bytes(LENGTH.size))
        if length > LARGEST_OBJECT:
            raise ValueError("it does not speak as a worker does")
        message = json.loads(self._bytes(length))
        if not isinstance(message, dict) or "kind" not in message:
            raise ValueError("it does not speak as a worker does")
        for name, size in message.get("files", {}).items():
            self._store(name, int(size))
        return message

    def _store(self, name: str, size: int) -> None:
        if self._incoming is None:
            raise ValueError(f"it sends a file that nobody asked for ({name!r})")
        with inside(self._incoming, name).open("wb") as file:
            while size:
                piece = self._bytes(min(size, PIECE))
                file.write(piece)
                size -= len(piece)

    def _bytes(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            piece = self._connection.recv(count - len(received))
            if not piece:
                raise ConnectionError("its connection ended")
            received += piece
        return bytes(received)


def reason_of(error: Exception) -> str:
    """How a peer was noticed to be gone."""
    if isinstance(error, socket.timeout):
        return f"it was silent for {SILENCE_SECONDS:g} s"
    return getattr(error, "strerror", None) or str(error)
