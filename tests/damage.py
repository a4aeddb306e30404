"""What a disk may do to a file that was whole."""

from __future__ import annotations

from pathlib import Path


def cut(path: Path) -> None:
    """Lose the second half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Lose all but the name."""
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose(path: Path) -> None:
    """Be gone."""
    path.unlink()


DAMAGES = (cut, empty, flip, lose)
