"""Cache of vectors: one SQLite file per encoder, whose rows are found by the hash of what was encoded.

The file is in WAL mode without a sync at every commit: what is committed survives the end of the process at any
instant, and a loss of power costs the newest vectors, not the file. Whatever is lost is computed again.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.exceptions import DamagedFileError

__all__ = ["VectorCache"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors"
    " (key BLOB PRIMARY KEY, bytes INTEGER NOT NULL, digest INTEGER NOT NULL, vector BLOB NOT NULL)",
)
#: Vectors of 768 half floats fill a page of this size to 92 %, one of SQLite's default size to 75 %.
_PAGE_BYTES = 2**14
#: Keys of one query: fewer cost calls, and many more than SQLite's older versions allow are an error.
_KEYS_AT_ONCE = 512
#: Seconds that a call waits for another process that writes; a write takes milliseconds.
_PATIENCE = 60
#: Smallest and largest magnitude of a row's largest number that half precision holds with all its digits.
_HALF_RANGE = 2.0**-14, 65504.0
_TYPES: dict[int, np.dtype[Any]] = {2: np.dtype("<f2"), 4: np.dtype("<f4")}


class VectorCache:
    """Cache of the vectors of one encoder, shared by threads and processes of one machine.

    A vector is kept in half precision where its largest number is 0 or lies between 2^-14 and 65504, in single
    precision otherwise. The first vector that was written under a key stays.

    Parameters
    ----------
    folder : str or path
        Folder of the caches, made if it is not there.
    identity : str
        Hash of all that the vectors depend on besides the rows: the name of the file.
    about : str
        The encoder in words, kept in the file.

    Raises
    ------
    DamagedFileError
        If the file is no such cache, or is damaged.
    OSError
        If it cannot be made, read or written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skada_active.embedding.cache import VectorCache
    >>> with VectorCache(tempfile.mkdtemp(), "0123", "an example") as cache:
    ...     kept = cache.write([b"a", b"b"], np.array([[1, 2], [3, 1e6]], dtype=np.float32))
    ...     cache.read([b"c", b"b"])
    ([1], array([[3.e+00, 1.e+06]], dtype=float32))
    """

    def __init__(self, folder: Any, identity: str, about: str) -> None:
        self.path = Path(folder).expanduser() / f"{identity}.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Threads of one call may end it; no two use it at once.
            self._connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        try:
            self._set_up(about)
        except BaseException:
            self.close()
            raise

    def read(self, keys: Sequence[bytes]) -> tuple[list[int], NDArray[np.float32]]:
        """Return which of the keys, distinct ones, have a vector, by their positions, and these vectors (m, D)."""
        position = {key: number for number, key in enumerate(keys)}
        found: list[int] = []
        blocks: list[NDArray[np.float32]] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            asked = keys[start : start + _KEYS_AT_ONCE]
            marks = ",".join("?" * len(asked))
            rows = self._execute(f"SELECT key, bytes, digest, vector FROM vectors WHERE key IN ({marks})", asked)
            sound = [row for row in rows if _digest(row[0], row[3]) == row[2]]
            if len(sound) < len(rows):  # what a failing disk has changed counts as never written
                bad = {row[0] for row in rows} - {row[0] for row in sound}
                self._execute(f"DELETE FROM vectors WHERE key IN ({','.join('?' * len(bad))})", [*bad])
            for size in _TYPES:
                if of_type := [row for row in sound if row[1] == size]:
                    found += [position[row[0]] for row in of_type]
                    blocks.append(self._unpacked([row[3] for row in of_type], _TYPES[size]))
        return found, np.concatenate(blocks) if blocks else np.empty((0, 0), dtype=np.float32)

    def write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keep finite vectors (n, D), where there are none yet, and return what is kept now, rounded.

        They are committed when this returns: no kill of the process takes them back.
        """
        largest = np.abs(vectors).max(axis=1, initial=0)
        is_half = (largest == 0) | ((largest >= _HALF_RANGE[0]) & (largest <= _HALF_RANGE[1]))
        sizes = np.where(is_half, 2, 4).tolist()
        packed = [row.astype(_TYPES[size]).tobytes() for row, size in zip(vectors, sizes, strict=True)]
        rows = [(k, size, _digest(k, data), data) for k, size, data in zip(keys, sizes, packed, strict=True)]
        self._execute("BEGIN IMMEDIATE")
        try:
            self._execute_many("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", rows)
            self._execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        # Another process may have been first, with other neighbours in its batch.
        found, kept = self.read(keys)
        stored = np.empty_like(kept)
        stored[found] = kept
        return stored

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _set_up(self, about: str) -> None:
        self._execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file; it does nothing to others
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # SQLite itself does not wait here for who does the same
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise self._explained(error) from error
                time.sleep(0.01)
            except sqlite3.Error as error:
                raise self._explained(error) from error
        self._execute("PRAGMA synchronous = NORMAL")
        if len(self._execute("SELECT name FROM sqlite_master WHERE name IN ('about', 'vectors')")) < len(_TABLES):
            for table in _TABLES:
                self._execute(table)
            self._execute("INSERT OR IGNORE INTO about VALUES ('encoder', ?)", [about])

    def _unpacked(self, packed: list[bytes], dtype: np.dtype[Any]) -> NDArray[np.float32]:
        if len(widths := sorted({len(vector) // dtype.itemsize for vector in packed})) > 1:
            raise ValueError(
                f"{self.path} holds vectors of {' and '.join(map(str, widths))} numbers for the rows of X, so "
                "that they are of two encoders. Give another cache_key, or delete the file."
            )
        return np.frombuffer(b"".join(packed), dtype=dtype).reshape(len(packed), -1).astype(np.float32)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _execute_many(self, statement: str, rows: Sequence[Any]) -> None:
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.OperationalError):
            return OSError(
                f"cache: {self.path} cannot be used ({error}). Make room on the disk, give access to the file and its "
                "folder, or wait for who holds it; the vectors in it are kept."
            )
        return DamagedFileError(
            f"cache: {self.path} is damaged or no cache of vectors ({error}). Delete it; they are computed again."
        )


def _digest(key: bytes, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(key))
