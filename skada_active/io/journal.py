"""The durable record of a session: events that are on disk before `Journal.append` returns."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from skada_active.io._folder import make_folder, take_lock
from skada_active.io._lines import seal, unseal
from skada_active.io._storage import sync_folder
from skada_active.utils.threads import in_turn
from skada_active.utils.warn import warn_user

__all__ = ["Journal", "JournalError"]

_LINES, _TAIL, _LOCK = "journal.jsonl", "journal.tail", "journal.lock"
_TAIL_WIDTH = 100
_RESTORE = "Nothing was changed. Restore the file from a copy, or begin anew in another folder."


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
    >>> from skada_active.io.journal import Journal
    >>> folder = tempfile.mkdtemp()
    >>> with Journal(folder) as journal:
    ...     journal.append({"event": "tell", "ids": [3], "labels": ["cat"]})
    >>> with Journal(folder) as journal:
    ...     journal.events
    [{'event': 'tell', 'ids': [3], 'labels': ['cat']}]
    """

    def __init__(self, folder: Any) -> None:
        self.folder = make_folder(folder)
        self._lock, self._process = take_lock(self.folder / _LOCK), os.getpid()
        self._locked = os.stat(self.folder / _LOCK)
        self._turn = RLock()  # threads take turns
        # One list holds what is committed, so that an interruption cannot leave events and end of the file apart.
        self._log: list[tuple[dict[str, Any], _End]] = []
        self._is_clean = True
        self._file = self._tail = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._log)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, in order: what was read, and what was appended since."""
        return self.since(0)

    def since(self, n_events: int) -> list[dict[str, Any]]:
        """Return the events after the first `n_events`."""
        return [event for event, _ in self._log[n_events:]]

    @property
    def _end(self) -> _End:
        return self._log[-1][1] if self._log else _End(0, 0, "")

    @property
    def is_open(self) -> bool:
        """Whether the journal can be appended to."""
        return self._file is not None

    @in_turn
    def append(self, event: dict[str, Any]) -> None:
        """Write an event; it is on disk when this returns.

        When this raises nothing of it is left, unless the disk fails in taking it back too: then that is done by the
        next call, and a process that ends before it may leave the event on disk.

        Parameters
        ----------
        event : dict
            Plain values: None, booleans, numbers, strings, lists, tuples, dicts, numpy scalars and arrays.

        Raises
        ------
        OSError
            If the disk is full or fails, or this process was forked from the one that opened the journal.
        ValueError
            If the journal is closed, or another program changed its files (`JournalError`).
        """
        self._check_open()
        self._check_in_place()
        end = self._end
        line, digest = seal(event, end.digest)
        try:
            if not self._is_clean:
                self._roll_back()
            self._is_clean = False
            _write(self._file, end.size, line + b"\n")
            end = _End(end.n_lines + 1, end.size + len(line) + 1, digest)
            self._write_tail(end)
            self._log.append((event, end))
            self._is_clean = True
        except BaseException as error:
            with contextlib.suppress(OSError):  # if that fails too, the next append tries again before it writes
                self._roll_back()
            if isinstance(error, OSError):
                raise OSError(
                    error.errno,
                    f"{error.strerror or error}; nothing of this {event.get('event')!r} was taken, what came before is "
                    "safe. Make room and do it again",
                    str(self.folder / _LINES),
                ) from error
            raise

    @in_turn
    def clear(self) -> None:
        """Forget all events; a ValueError if the journal is closed."""
        self._check_open()
        self._log.clear()
        self._roll_back()

    @in_turn
    def close(self) -> None:
        """Give the folder back: another session may open it. Closing twice does no harm."""
        for file in (self._file, self._tail):
            if file is not None:
                file.close()
        self._file = self._tail = None
        if os.getpid() == self._process:  # the lock is that of the process that took it, not of its forks
            self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"A session that is recorded in {self.folder} cannot be pickled or copied: two of them would write to one "
            "journal. Save the loop instead, session.loop_.save(folder), or open the journal again."
        )

    def _check_open(self) -> None:
        if not self.is_open:
            raise ValueError(f"The journal in {self.folder} is closed; open the session again with journal=...")
        if os.getpid() != self._process:
            raise BlockingIOError(
                f"The journal in {self.folder} is open in the process that this one was forked from, and two of them "
                "would write to it; open the session after the fork."
            )

    def _check_in_place(self) -> None:
        # What another program put in place of a file would not see what is written to the one that was opened.
        opened = {_LINES: os.fstat(self._file.fileno()), _TAIL: os.fstat(self._tail.fileno()), _LOCK: self._locked}
        try:
            in_place = all(os.path.samestat(os.stat(self.folder / name), found) for name, found in opened.items())
        except FileNotFoundError:
            in_place = False
        if not in_place or (self._is_clean and opened[_LINES].st_size != self._end.size):
            raise JournalError(
                f"{self.folder}: another program changed, replaced or removed {_LINES}, {_TAIL} or {_LOCK} while the "
                "session was open. Nothing of this was taken. Close the session and open it again."
            )

    def _open(self) -> None:
        path = self.folder / _LINES
        *lines, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for line in lines:
            self._read(line)
        if last and unseal(last, self._end.digest) is not None:
            self._read(last)  # all of it is there but the end of the line
            last = b""
        was_counted = self._check_against_tail(n_torn=1 if last else 0)
        if last:
            cause = "it was whole once: the file was damaged" if was_counted else "as a kill during writing leaves it"
            warn_user(
                f"{path}, line {len(self._log) + 1}: incomplete ({cause}); dropped: {last[:60]!r}... What it recorded "
                "has to be told again.",
            )
        self._file, self._tail = (_open_file(self.folder / name) for name in (_LINES, _TAIL))
        if self._log:
            _write(self._file, self._end.size - 1, b"\n")
        self._roll_back()

    def _read(self, line: bytes) -> None:
        end = self._end
        opened = unseal(line, end.digest)
        if opened is None:
            raise JournalError(
                f"{self.folder / _LINES}, line {end.n_lines + 1}: damaged; it does not hold what was written, or does "
                f"not follow the line before. {_RESTORE}"
            )
        event, digest = opened
        self._log.append((event, _End(end.n_lines + 1, end.size + len(line) + 1, digest)))

    def _check_against_tail(self, n_torn: int) -> bool:
        """Tell whether the tail counts a line that is torn; what it counts and the file does not have is an error."""
        try:
            opened = unseal((self.folder / _TAIL).read_bytes().rstrip(b" \n"), "")
        except FileNotFoundError:
            opened = None
        path, n_lines = self.folder / _LINES, len(self._log)
        if opened is None:
            if n_lines > 1:
                warn_user(
                    f"{self.folder / _TAIL} is missing or damaged and is written anew. Whether lines are missing at "
                    f"the end of {_LINES} could not be checked; its {n_lines} lines are whole.",
                )
            return False
        n_marked = opened[0]["lines"]
        if n_lines + n_torn < n_marked:
            raise JournalError(f"{path}, line {n_lines + 1}: missing; {_TAIL} counts {n_marked} line(s). {_RESTORE}")
        if 0 < n_marked <= n_lines and opened[0]["last"] != self._log[n_marked - 1][1].digest:
            raise JournalError(
                f"{path}, line {n_marked}: not the line that {_TAIL} names; one of the two is of another session. "
                f"{_RESTORE}"
            )
        return n_marked > n_lines

    def _roll_back(self) -> None:
        self._is_clean = False
        # The count first: a kill in between leaves a line too many, which is whole, never one too few.
        self._write_tail(self._end)
        os.ftruncate(self._file.fileno(), self._end.size)
        os.fsync(self._file.fileno())
        self._is_clean = True

    def _write_tail(self, end: _End) -> None:
        line, _ = seal({"lines": end.n_lines, "last": end.digest}, "")
        _write(self._tail, 0, line.ljust(_TAIL_WIDTH) + b"\n")


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
