"""What lies below a folder, to be compared with what lay there before or lies below another."""

from __future__ import annotations

from pathlib import Path


def everything(folder: Path) -> set[str]:
    """All paths, of files and of folders."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
