"""The durable record of a session: events that are on disk before `Journal.append` returns."""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from skada_active._plain import from_plain, to_plain
from skada_active._storage import digest_of, sync_folder

__all__ = ["Journal", "JournalError"]

_LINES, _TAIL, _LOCK = "journal.jsonl", "journal.tail", "journal.lock"
_SEAL = re.compile(rb', "digest": "([0-9a-f]{16})"\}\Z')
_TAIL_WIDTH = 100
_RESTORE = "Nothing was changed. Restore the file from a copy, or begin anew in another folder."
#: Frames between `Journal._open` and the code that opens a session.
_CALLER = 7


class _End(NamedTuple):
    """Where the journal ends: number of lines, bytes, and digest of the last line."""

    n_lines: int
    size: int
    digest: str


class JournalError(ValueError):
    """A journal is damaged, or belongs to another session.

    The message names the file, the line where there is one, and what to do.
    """


class Journal:
    """Keep events in a folder: append-only JSON lines, each on disk before `append` returns.

    Opening reads and checks what is there. Every line carries a digest of itself and all lines before it, and a second
    file, ``journal.tail``, says how many lines there are: a changed, missing, repeated or swapped line is an error.
    Only an incomplete last line, which a kill during `append` leaves, is dropped, with a warning.

    Parameters
    ----------
    folder : str or path
        Folder of the session; made if it is not there.

    Attributes
    ----------
    events : list of dict
        The events, in order: what was read, and what was appended since.

    Raises
    ------
    BlockingIOError
        If another process, or another session of this one, has the journal open.
    JournalError
        If the journal is damaged.

    Notes
    -----
    An append costs two flushes of a small file to the disk: milliseconds. Nothing is unpickled.

    Examples
    --------
    >>> import tempfile
    >>> from skada_active.loop.journal import Journal
    >>> folder = tempfile.mkdtemp()
    >>> with Journal(folder) as journal:
    ...     journal.append({"event": "tell", "ids": [3], "labels": ["cat"]})
    >>> with Journal(folder) as journal:
    ...     journal.events
    [{'event': 'tell', 'ids': [3], 'labels': ['cat']}]
    """

    def __init__(self, folder: Any) -> None:
        self.folder = _make_folder(folder)
        self._lock = _take_lock(self.folder)
        self.events: list[dict[str, Any]] = []
        self._end = _End(0, 0, "")
        self._is_clean = True
        self._file = self._tail = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether the journal can be appended to."""
        return self._file is not None

    def append(self, event: dict[str, Any]) -> None:
        """Write an event; it is on disk when this returns, and nothing of it is left when this raises.

        Parameters
        ----------
        event : dict
            Plain values: None, booleans, numbers, strings, lists, tuples, dicts, numpy scalars and arrays.

        Raises
        ------
        OSError
            If the disk is full or fails.
        ValueError
            If the journal is closed.
        """
        if not self.is_open:
            raise ValueError(f"The journal in {self.folder} is closed; open the session again with journal=...")
        line, digest = _seal(event, self._end.digest)
        end = _End(self._end.n_lines + 1, self._end.size + len(line) + 1, digest)
        try:
            if not self._is_clean:
                self._roll_back()
            self._is_clean = False
            _write(self._file, self._end.size, line + b"\n")
            self._write_tail(end)
        except BaseException as error:
            with contextlib.suppress(OSError):  # if that fails too, the next append tries again before it writes
                self._roll_back()
            if isinstance(error, OSError):
                raise OSError(
                    error.errno,
                    f"{error.strerror}; nothing of this {event.get('event')!r} was taken, what came before is safe. "
                    "Make room and do it again",
                    str(self.folder / _LINES),
                ) from error
            raise
        self.events.append(event)
        self._end = end
        self._is_clean = True

    def clear(self) -> None:
        """Forget all events."""
        self.events.clear()
        self._end = _End(0, 0, "")
        self._roll_back()

    def close(self) -> None:
        """Give the folder back: another session may open it. Closing twice does no harm."""
        for file in (self._file, self._tail):
            if file is not None:
                file.close()
        self._file = self._tail = None
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"A session that is recorded in {self.folder} cannot be pickled or copied: two of them would write to one "
            "journal. Save the loop instead, session.loop_.save(folder), or open the journal again."
        )

    def _open(self) -> None:
        path = self.folder / _LINES
        *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
        digests = [""]
        for line in lines:
            digests.append(self._take(line, digests[-1]))
        if last and _unseal(last, digests[-1]) is not None:  # all of it is there but the end of the line
            digests.append(self._take(last, digests[-1]))
            lines.append(last)
            last = b""
        self._check_against_tail(digests, n_torn=1 if last else 0)
        if last:
            warnings.warn(
                f"{path}, line {len(digests)}: incomplete, as a kill or a full disk during writing leaves it; dropped "
                f"({last[:60]!r}...). What it would have recorded has to be told again.",
                UserWarning,
                stacklevel=_CALLER,
            )
        self._end = _End(len(lines), sum(map(len, lines)) + len(lines), digests[-1])
        self._file, self._tail = (_open_file(self.folder / name) for name in (_LINES, _TAIL))
        if lines:
            _write(self._file, self._end.size - 1, b"\n")
        self._roll_back()

    def _take(self, line: bytes, before: str) -> str:
        opened = _unseal(line, before)
        if opened is None:
            raise JournalError(
                f"{self.folder / _LINES}, line {len(self.events) + 1}: damaged; it does not hold what was written, or "
                f"does not follow the line before. {_RESTORE}"
            )
        self.events.append(opened[0])
        return opened[1]

    def _check_against_tail(self, digests: list[str], n_torn: int) -> None:
        try:
            opened = _unseal((self.folder / _TAIL).read_bytes().rstrip(b" \n"), "")
        except FileNotFoundError:
            opened = None
        path, n_lines = self.folder / _LINES, len(self.events)
        if opened is None:
            if n_lines > 1:
                warnings.warn(
                    f"{self.folder / _TAIL} is missing or damaged and is written anew. Whether lines are missing at "
                    f"the end of {_LINES} could not be checked; its {n_lines} lines are whole.",
                    UserWarning,
                    stacklevel=_CALLER + 1,
                )
            return
        n_marked = opened[0]["lines"]
        if n_lines + n_torn < n_marked:
            raise JournalError(f"{path}, line {n_lines + 1}: missing; {_TAIL} counts {n_marked} line(s). {_RESTORE}")
        if n_marked <= n_lines and opened[0]["last"] != digests[n_marked]:
            raise JournalError(
                f"{path}, line {n_marked}: not the line that {_TAIL} names; one of the two is of another session. "
                f"{_RESTORE}"
            )

    def _roll_back(self) -> None:
        # The count first: a kill in between leaves a line too many, which is whole, never one too few.
        self._write_tail(self._end)
        os.ftruncate(self._file.fileno(), self._end.size)
        os.fsync(self._file.fileno())
        self._is_clean = True

    def _write_tail(self, end: _End) -> None:
        line, _ = _seal({"lines": end.n_lines, "last": end.digest}, "")
        _write(self._tail, 0, line.ljust(_TAIL_WIDTH) + b"\n")


def _make_folder(folder: Any) -> Path:
    folder = Path(folder).absolute()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)
    return folder


def _take_lock(folder: Path) -> FileLock:
    lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"The journal in {folder} is open in another process, or in another session of this one. Close that one "
            "(session.close()) or give this session a folder of its own."
        ) from None
    return lock


def _open_file(path: Path) -> Any:
    is_new = not path.exists()
    file = open(path, "xb" if is_new else "r+b", buffering=0)  # noqa: SIM115 - it stays open as long as the journal
    if is_new:
        sync_folder(path.parent)
    return file


def _write(file: Any, position: int, data: bytes) -> None:
    file.seek(position)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    os.fsync(file.fileno())


def _seal(event: dict[str, Any], before: str) -> tuple[bytes, str]:
    text = json.dumps(to_plain(event), ensure_ascii=False, allow_nan=False).encode()
    digest = digest_of(before.encode(), text)
    return text[:-1] + b', "digest": "' + digest.encode() + b'"}', digest


def _unseal(line: bytes, before: str) -> tuple[dict[str, Any], str] | None:
    """Return the event of a line and its digest, None where the line is not what followed `before`."""
    seal = _SEAL.search(line)
    if seal is None:
        return None
    text, digest = line[: seal.start()] + b"}", seal[1].decode()
    if digest != digest_of(before.encode(), text):
        return None
    return from_plain(json.loads(text)), digest
