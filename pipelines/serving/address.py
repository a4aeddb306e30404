"""Where a server of ours listens, and who can reach it there."""

from __future__ import annotations

import errno
import ipaddress
import socket

from ebm_tf.errors import ConfigError, MissingInput

BACKLOG = 128


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at every address of a host name; port 0 stands for a free one.

    Raises:
        ConfigError: no such host, or none of this machine's.
        MissingInput: the port is in use, or not for this user.
    """
    opened: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in _addresses(host):
            opened.append(_listening(family, kind, protocol, host, (address[0], port, *address[2:])))
            port = int(opened[-1].getsockname()[1])
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def free_port(host: str, port: int) -> int:
    """The port that `listen` would take, left to whoever is to have it.

    Raises:
        ConfigError, MissingInput: as of `listen`.
    """
    opened = listen(host, port)
    port = int(opened[0].getsockname()[1])
    for one in opened:
        one.close()
    return port


def is_loopback(host: str) -> bool:
    """Only this machine reaches it."""
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in _addresses(host))


def url_of(host: str, port: int) -> str:
    """What to type into a browser."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _addresses(host: str) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        if not host:
            raise OSError("no name")
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--host received {host!r}, which is no host ({error}); give 127.0.0.1, 0.0.0.0, or a name or address of "
            "this machine"
        ) from error
    return found  # type: ignore[return-value]


def _listening(
    family: int, kind: int, protocol: int, host: str, address: tuple[object, ...]
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise _refused(host, int(str(address[1])), error) from error
    return made


def _refused(host: str, port: int, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return MissingInput(f"port {port} of {host} is in use; give another with --port, or 0 for a free one")
    if error.errno == errno.EACCES:
        return MissingInput(f"port {port} is not for this user; give one above 1023 with --port")
    return ConfigError(
        f"--host received {host!r}, which this machine does not have ({error.strerror}); give 127.0.0.1, 0.0.0.0, "
        "or a name or address of this machine"
    )
