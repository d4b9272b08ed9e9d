"""Journal of a session: one SQLite file in which every entry is committed and synced before `append` returns.

The file is in SQLite's rollback mode, not in WAL mode: after every call the file alone holds all entries, so that a
copy of it is whole. In WAL mode the newest answers lie in a second file, and a copy without that file is an older
session that nothing tells from a whole one. A kill leaves at most a rollback file beside it, which the next opening
plays back; a full disk fails the commit and changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakSet

from skada_active.exceptions import JournalError

__all__ = ["Journal"]

_APPLICATION_ID, _FORMAT = 0x736B6164, 1  # "skad"
_TABLES = {
    "start": "CREATE TABLE start (content TEXT NOT NULL)",
    "events": "CREATE TABLE events (number INTEGER PRIMARY KEY, content TEXT NOT NULL, digest TEXT NOT NULL)",
    "head": "CREATE TABLE head (n_events INTEGER NOT NULL, digest TEXT NOT NULL)",
    "checkpoint": "CREATE TABLE checkpoint (info TEXT NOT NULL, model BLOB NOT NULL, digest TEXT NOT NULL)",
}
_RESTORE = "The file was left as it is. Restore it from a copy, or start a new session in another file."
#: Seconds to wait for another program that reads the file; a second session is refused at once.
_READER_SECONDS = 10
_ERRORS = {
    "full": errno.ENOSPC,
    "readonly": errno.EACCES,
    "unable to open": errno.EACCES,
    "locked": errno.EAGAIN,
}


class Journal:
    """Append-only journal in a SQLite file: a start, numbered entries, and one replaceable checkpoint.

    Entries are texts. Each has a digest of itself and of all entries before it, and a table of its own holds their
    number and the last digest, so that a changed, lost, repeated or swapped entry is an error at opening. The write
    lock of SQLite is held as long as the journal is open: other programs can read the file, nobody else can write.

    Parameters
    ----------
    path : str or path
        The file; made, with its folder, if it is not there.

    Attributes
    ----------
    path : Path
        Absolute path of the file.
    start : str or None
        The text that the journal was begun with; None in a new one.

    Raises
    ------
    BlockingIOError
        If another process, or another session of this one, has the journal open.
    JournalError
        If the file is damaged or is no journal; it is never written to then.
    OSError
        If the file cannot be made, read or locked.

    Notes
    -----
    A commit flushes the rollback file and the database: about a millisecond on a solid-state disk. Opening
    reads and checks the whole file.

    Examples
    --------
    >>> import tempfile
    >>> from skada_active.io.journal import Journal
    >>> path = tempfile.mkdtemp() + "/labels.db"
    >>> with Journal(path) as journal:
    ...     journal.begin("settings")
    ...     journal.append("row 3 is a cat")
    >>> with Journal(path) as journal:
    ...     journal.start, journal.since(0)
    ('settings', ['row 3 is a cat'])
    """

    def __init__(self, path: Any) -> None:
        self.path = _checked_path(path)
        self.start: str | None = None
        self._call_lock, self._process = RLock(), os.getpid()
        # One list holds what is committed, so that an interruption cannot leave entries and their digests apart.
        self._entries: list[tuple[str, str]] = []
        self._is_synced = False
        self._connection: sqlite3.Connection | None = None
        with self._os_errors("open"):
            self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._open(self._connection)
            except BaseException:
                self._connection.close()
                self._connection = None
                raise
        _OPEN.add(self)

    def __len__(self) -> int:
        return len(self._synced())

    def since(self, n_entries: int) -> list[str]:
        """Return the entries after the first `n_entries`."""
        return [content for content, _ in self._synced()[n_entries:]]

    @property
    def is_open(self) -> bool:
        """Whether the journal can be written to."""
        return self._connection is not None

    def begin(self, start: str) -> None:
        """Write the start of a session, in place of any other one: entries and checkpoint are removed."""
        digest = _digest("", start)
        with self._transaction("start") as connection:
            for table in _TABLES:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES.values():
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.execute("INSERT INTO start VALUES (?)", (start,))
            connection.execute("INSERT INTO head VALUES (0, ?)", (digest,))
        self._sync()

    def append(self, content: str) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises
        ------
        OSError
            If the disk is full or fails, or this process was forked from the one that opened the journal. Nothing of
            the entry is left then.
        ValueError
            If the journal is closed, or another program changed its file (`JournalError`).
        """
        with self._call_lock:
            number, digest = len(self._synced()) + 1, _digest(self._last_digest, content)
            with self._transaction("answer") as connection:
                connection.execute("INSERT INTO events VALUES (?, ?, ?)", (number, content, digest))
                connection.execute("UPDATE head SET n_events = ?, digest = ?", (number, digest))
            self._entries.append((content, digest))
            self._is_synced = True

    def write_checkpoint(self, info: str, model: bytes) -> None:
        """Replace the checkpoint; errors as of `append`."""
        with self._call_lock, self._transaction("checkpoint") as connection:
            connection.execute("DELETE FROM checkpoint")
            connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (info, model, _digest(info, model)))
        self._is_synced = True

    def read_checkpoint(self) -> tuple[str, bytes] | None:
        """Return the checkpoint, None where there is none; a `JournalError` if it is damaged."""
        row = self._usable().execute("SELECT info, model, digest FROM checkpoint").fetchone()
        if row is None:
            return None
        info, model, digest = _text(row[0]), bytes(row[1]), _text(row[2])
        if digest != _digest(info, model):
            raise JournalError(f"{self.path}: its checkpoint does not hold what was written.")
        return info, model

    def close(self) -> None:
        """Give the file back: another session may open it. Closing twice does no harm."""
        with self._call_lock:
            connection, self._connection = self._connection, None
            if connection is not None and os.getpid() == self._process:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("PRAGMA journal_mode = DELETE")  # the emptied rollback file goes
                connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"A session that is recorded in {self.path} cannot be pickled or copied: two of them would write to one "
            "journal. Save the loop instead, session.loop_.save(path), or open the journal again."
        )

    @property
    def _last_digest(self) -> str:
        return self._entries[-1][1] if self._entries else _digest("", self.start or "")

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError(f"The journal {self.path} is closed; open the session again with journal=...")
        if os.getpid() != self._process:
            raise BlockingIOError(
                errno.EAGAIN,
                "The journal is open in the process that this one was forked from, and two of them would write to it; "
                "open the session after the fork",
                str(self.path),
            )
        return self._connection

    def _open(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = bytes  # what is damaged need not be UTF-8
        for setting in ("trusted_schema = OFF", "cell_size_check = ON", "synchronous = FULL", "fullfsync = ON"):
            connection.execute(f"PRAGMA {setting}")
        self._lock(connection)
        self._check_file(connection)
        self._sync()
        connection.execute("PRAGMA journal_mode = TRUNCATE")  # flushed with the file, not with its folder
        connection.execute(f"PRAGMA busy_timeout = {_READER_SECONDS * 1000}")

    def _lock(self, connection: sqlite3.Connection) -> None:
        # Held between the commits: a transaction that has written nothing keeps other writers out, not readers.
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise BlockingIOError(
                errno.EAGAIN,
                "The journal is open in another process, or in another session of this one. Close that one "
                "(session.close()) or give this session a file of its own",
                str(self.path),
            ) from None
        self._file_state = _file_state(self.path)

    def _check_file(self, connection: sqlite3.Connection) -> None:
        def setting(name: str) -> Any:
            value = connection.execute(f"PRAGMA {name}").fetchone()[0]
            return value.decode(errors="replace") if isinstance(value, bytes) else value

        tables = {
            _text(name): _text(sql or b"") for name, sql in connection.execute("SELECT name, sql FROM sqlite_master")
        }
        if not tables and setting("application_id") == 0:
            return  # a new file
        if setting("application_id") != _APPLICATION_ID:
            raise JournalError(f"{self.path} is a database of another program. {_RESTORE}")
        if setting("user_version") != _FORMAT:
            raise JournalError(
                f"{self.path} is a journal of format {setting('user_version')}, this version reads {_FORMAT}; go on "
                "with the version of skada_active that wrote it."
            )
        if tables != _TABLES or setting("journal_mode") != "delete":
            raise JournalError(f"{self.path} is damaged: its tables are not those of a journal. {_RESTORE}")
        problem = setting("integrity_check(1)")
        if problem != "ok":
            raise JournalError(f"{self.path} is damaged: {problem}. {_RESTORE}")

    def _synced(self) -> list[tuple[str, str]]:
        # An interruption can leave an entry in the file that memory does not have.
        if not self._is_synced:
            with self._call_lock:
                self._sync()
        return self._entries

    def _sync(self) -> None:
        connection = self._usable()
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            self.start, self._entries, self._is_synced = None, [], True
            return
        starts = [_text(row[0]) for row in connection.execute("SELECT content FROM start")]
        before, entries = _digest("", starts[0]) if len(starts) == 1 else "", []
        for position, row in enumerate(
            connection.execute("SELECT number, content, digest FROM events ORDER BY number")
        ):
            content, digest = _text(row[1]), _text(row[2])
            if row[0] != position + 1 or digest != _digest(before, content):
                raise JournalError(
                    f"{self.path}, event {position + 1}: damaged or missing; it does not hold what was written, or "
                    f"does not follow the event before. {_RESTORE}"
                )
            entries.append((content, before := digest))
        heads = [(row[0], _text(row[1])) for row in connection.execute("SELECT n_events, digest FROM head")]
        if len(starts) != 1 or heads != [(len(entries), before)]:
            raise JournalError(
                f"{self.path}: the events are not those that were written ({len(entries)} found, "
                f"{heads[0][0] if heads else 'none'} recorded). {_RESTORE}"
            )
        self.start, self._entries, self._is_synced = starts[0], entries, True

    @contextlib.contextmanager
    def _transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        with self._os_errors(what):
            connection = self._usable()
            self._is_synced = False  # until it is known what came of it
            if not connection.in_transaction:
                self._lock(connection)
            elif self._file_state != _file_state(self.path):
                self._is_synced = True
                raise JournalError(
                    f"{self.path}: another program changed, replaced or removed the file while the session was open. "
                    "Nothing of this was recorded. Close the session and open it again."
                )
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                with contextlib.suppress(sqlite3.Error, OSError):  # else the next call tries again
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    self._lock(connection)

    @contextlib.contextmanager
    def _os_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            number = next((number for text, number in _ERRORS.items() if text in str(error)), errno.EIO)
            raise OSError(
                number,
                f"{error}; nothing of this {what} was recorded, what came before is safe. Make room or give access, "
                "and do it again",
                str(self.path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{self.path} is damaged or no journal: {error}. {_RESTORE}") from error


_OPEN: WeakSet[Journal] = WeakSet()
_HELD: list[Journal] = []


def _before_fork() -> None:
    # A fork in the middle of a commit would leave the child with half of a transaction to roll back.
    _HELD[:] = list(_OPEN)
    for journal in _HELD:
        journal._call_lock.acquire()


def _after_fork() -> None:
    for journal in _HELD:
        journal._call_lock.release()
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _checked_path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f'journal must be the path of a file such as "labels.db", got {path!r}.')
    path = Path(path).absolute()
    if path.is_dir():
        raise IsADirectoryError(f"journal must be the path of a file, {path} is a folder; name a file in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _file_state(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _digest(before: str, content: str | bytes) -> str:
    digest = blake2b(before.encode(), digest_size=16)
    digest.update(content if isinstance(content, bytes) else content.encode())
    return digest.hexdigest()
