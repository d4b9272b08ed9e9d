"""Files that a kill or a full disk leaves whole: written aside, flushed to the disk, renamed, and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "DamagedFileError",
    "digest_of",
    "read_bundle",
    "remove_bundle",
    "sync_folder",
    "write_aside",
    "write_bundle",
]

_PARTIAL = ".partial"
_BLOCK = 2**20
Writer = Callable[[Path], None]


class DamagedFileError(ValueError):
    """A file does not hold what was written to it."""


def digest_of(*parts: bytes) -> str:
    """Return a short checksum of bytes: 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a file that appeared in it is there after a loss of power."""
    if os.name == "nt":  # Windows flushes names with the files, and opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_aside(path: Path, write: Writer, rename: Callable[[Path], Path] | None = None) -> Path:
    """Write a file under another name and rename it when it is on the disk: it is there whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    write : callable
        Writes the file whose path it is given.
    rename : callable, default=None
        Gives the final path by the file that was written; ``None``: `path`.

    Returns
    -------
    Path
        The final path.
    """
    partial = path.with_name(path.name + _PARTIAL)
    try:
        write(partial)
        descriptor = os.open(partial, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        final = path if rename is None else rename(partial)
        os.replace(partial, final)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return final


def write_bundle(folder: Path, name: str, content: Any, files: Mapping[str, Writer]) -> None:
    """Write ``name.json`` and the files that belong to it, all of them or none.

    The files carry the digest of what they hold in their names, and ``name.json``, which names them, is renamed last: a
    reader finds the bundle before or after, never a mixture. Files of an earlier bundle of that name are removed.

    Parameters
    ----------
    folder : Path
        Folder that exists.
    name : str
        Name of the bundle.
    content : JSON-able
        What ``name.json`` holds.
    files : dict of str -> callable
        Writers by the name of the file.
    """
    written = {}
    for key, write in files.items():
        prefix, suffix = f"{name}-{Path(key).stem}", Path(key).suffix
        path = write_aside(
            folder / f"{prefix}{suffix}",
            write,
            rename=lambda partial, prefix=prefix, suffix=suffix: folder / f"{prefix}-{_file_digest(partial)}{suffix}",
        )
        written[key] = path.name
    body = {"content": content, "files": written}
    text = json.dumps({"digest": digest_of(_canonical(body)), **body}, allow_nan=False)
    write_aside(folder / f"{name}.json", lambda path: path.write_text(text, encoding="utf-8"))
    _remove_files(folder, name, keep=written.values())


def read_bundle(folder: Path, name: str) -> tuple[Any, dict[str, Path]]:
    """Return the content of a bundle and the paths of its files, all of them checked.

    Raises
    ------
    FileNotFoundError
        If there is no such bundle.
    DamagedFileError
        If ``name.json`` or one of its files is missing or does not hold what was written.
    """
    path = folder / f"{name}.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        digest, intact = body.pop("digest"), isinstance(body, dict)
        intact = intact and digest == digest_of(_canonical(body))
    except FileNotFoundError:
        raise
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise DamagedFileError(f"{path} is damaged: it does not hold what was written to it.")
    files = {key: folder / Path(file).name for key, file in body["files"].items()}
    for file in files.values():
        if not file.is_file() or file.stem.rpartition("-")[2] != _file_digest(file):
            raise DamagedFileError(f"{file} is damaged or missing: {path.name} names other contents.")
    return body["content"], files


def remove_bundle(folder: Path, name: str) -> None:
    """Remove a bundle, if it is there."""
    (folder / f"{name}.json").unlink(missing_ok=True)
    _remove_files(folder, name)


def _remove_files(folder: Path, name: str, keep: Collection[str] = ()) -> None:
    # Only names that `write_bundle` gives: the folder may hold other people's files.
    own = re.compile(rf"{re.escape(name)}-.+(-[0-9a-f]{{16}}(\.\w+)?|\.partial)")
    for path in folder.iterdir():
        if own.fullmatch(path.name) and path.name not in keep:
            path.unlink(missing_ok=True)


def _canonical(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def _file_digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
