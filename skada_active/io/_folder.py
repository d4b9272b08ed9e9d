"""The folder of a journal, and who has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from skada_active.io._storage import sync_folder

__all__ = ["make_folder", "take_lock"]


def make_folder(folder: Any) -> Path:
    """Return the path of a folder, made and on the disk; anything else is an error."""
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ValueError(f"journal must be the path of a folder, got {folder!r}.")
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"journal must be the path of a folder, {folder} is a file.")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)
    return folder


def take_lock(path: Path) -> FileLock:
    """Return a lock of the operating system on a file, taken; a BlockingIOError if somebody has it."""
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"The journal in {path.parent} is open in another process, or in another session of this one. Close that "
            "one (session.close()) or give this session a folder of its own."
        ) from None
    except BaseException:
        lock.release(force=True)
        raise
    return lock
