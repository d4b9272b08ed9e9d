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
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import IO, Any
from weakref import WeakValueDictionary

from skada_active.exceptions import JournalError
from skada_active.io.hashing import chain_digest

__all__ = ["Journal"]

_APPLICATION, _FORMAT = b"skad", 1
_TABLES = {
    "entries": "CREATE TABLE entries (number INTEGER PRIMARY KEY, content TEXT NOT NULL, digest TEXT NOT NULL)",
    "head": "CREATE TABLE head (n_entries INTEGER NOT NULL, digest TEXT NOT NULL)",
    "checkpoint": "CREATE TABLE checkpoint (info TEXT NOT NULL, model BLOB NOT NULL, digest TEXT NOT NULL)",
}
#: EXTRA syncs the folder too: a rollback file that came back after a loss of power would undo the last commit.
_SETTINGS = ("synchronous = EXTRA", "fullfsync = ON", "trusted_schema = OFF", "cell_size_check = ON")
_IS_OPEN = (
    "The journal is open in another process, or in another session of this one. Close that one (session.close()), or "
    "give this session a file of its own"
)
#: What SQLite's messages hold, the system's error, and a remedy.
_ERRORS = (
    ("locked", errno.EAGAIN, _IS_OPEN),
    ("full", errno.ENOSPC, "Make room, and do it again"),
    ("readonly", errno.EACCES, "Give access to the file and its folder, and do it again"),
    ("unable to open", errno.EACCES, "Give access to the file and its folder, and do it again"),
    ("disk I/O", errno.EIO, "Make sure that the disk works and is not full, and do it again"),
    ("too big", errno.EFBIG, "SQLite takes a gigabyte at most"),
)
_RESTORE = "The file was left as it is. Restore it from a copy, or start a new session in another file."
#: Seconds that a write waits for other programs that read the file.
_READER_SECONDS = 10
#: Lock of a byte next to those that SQLite locks, in the page of a database that holds nothing but locks.
_LOCK_BYTE: tuple[int, bytes] | None = None
with contextlib.suppress(ImportError, AttributeError):  # Linux has it
    import fcntl

    _LOCK_BYTE = fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0x40000200, 1, 0)

#: One call at a time, of all journals. A fork waits for it, so that no child has half of a commit to roll back.
_TURN = RLock()
#: Journals of this process that are open, by the numbers of device and file.
_OPEN: WeakValueDictionary[tuple[int, ...], Journal] = WeakValueDictionary()


class Journal:
    """Append-only journal in a SQLite file: a start, numbered entries, and one replaceable checkpoint.

    Entries are texts; the start is number 0. Each has a digest of itself and of all entries before it, and a table of
    its own holds their number and the last digest, so that a changed, lost, repeated or swapped entry is an error at
    opening. The write lock of SQLite is held as long as the journal is open: other programs can read the file, nobody
    else can write.

    Parameters
    ----------
    path : str or path
        The file; made, with its folder, if it is not there.

    Attributes
    ----------
    path : Path
        Absolute path of the file.

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
    A commit flushes the rollback file, the database and their folder: about a millisecond on a solid-state disk.
    Opening reads and checks the whole file. Threads take turns. The file may be copied at any time, by other programs
    or between two calls; a copy that is made during a commit may be refused.

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
        self._process = os.getpid()
        self._file: IO[bytes] | None = None
        self._connection: sqlite3.Connection | None = None
        # One list holds what is committed, so that an interruption cannot leave entries and their digests apart.
        self._entries: list[tuple[str, str]] = []
        self._is_synced = False  # whether memory is known to hold what the file does
        self._identity: tuple[int, ...] = ()
        self._file_state: tuple[int, ...] | None = None
        with _TURN, self._os_errors("the journal could not be opened"):
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def __len__(self) -> int:
        return len(self._synced()[1:])

    @property
    def start(self) -> str | None:
        """The text that the journal was begun with; None in a new one."""
        return next((content for content, _ in self._synced()), None)

    def since(self, n_entries: int) -> list[str]:
        """Return the entries after the first `n_entries`."""
        return [content for content, _ in self._synced()[1 + n_entries :]]

    @property
    def is_open(self) -> bool:
        """Whether the journal can be written to."""
        return self._connection is not None

    def begin(self, start: str) -> None:
        """Write the start of a session, in place of any other one: entries and checkpoint are removed."""
        digest = chain_digest("", start)
        self._write(
            "start",
            None,
            *[(f"DROP TABLE IF EXISTS {table}", ()) for table in _TABLES],
            *[(statement, ()) for statement in _TABLES.values()],
            (f"PRAGMA application_id = {int.from_bytes(_APPLICATION, 'big')}", ()),
            (f"PRAGMA user_version = {_FORMAT}", ()),
            ("INSERT INTO entries VALUES (0, ?, ?)", (start, digest)),
            ("INSERT INTO head VALUES (1, ?)", (digest,)),
        )

    def append(self, content: str) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises
        ------
        OSError
            If the disk is full or fails, another program reads the file for more than ten seconds, or this process was
            forked from the one that opened the journal. Nothing of the entry is left then, unless the very last flush
            failed: then it may be there, and `since` shows it.
        ValueError
            If the journal is closed, or another program changed its file (`JournalError`).
        """
        with _TURN:
            entries = self._synced()
            number, digest = len(entries), chain_digest(entries[-1][1], content)
            self._write(
                "answer",
                [(content, digest)],
                ("INSERT INTO entries VALUES (?, ?, ?)", (number, content, digest)),
                ("UPDATE head SET n_entries = ?, digest = ?", (number + 1, digest)),
            )

    def write_checkpoint(self, info: str, model: bytes) -> None:
        """Replace the checkpoint; errors as of `append`."""
        digest = chain_digest(info, model)
        replace = "INSERT INTO checkpoint VALUES (?, ?, ?)", (info, model, digest)
        self._write("checkpoint", [], ("DELETE FROM checkpoint", ()), replace)

    def read_checkpoint(self) -> tuple[str, bytes] | None:
        """Return the checkpoint, None where there is none; a `JournalError` if it is damaged."""
        with _TURN, self._os_errors("the checkpoint could not be read"):
            row = self._locked().execute("SELECT info, model, digest FROM checkpoint").fetchone()
        if row is None:
            return None
        info, model, digest = str(row[0]), row[1], row[2]
        if not isinstance(model, bytes) or digest != chain_digest(info, model):
            raise JournalError(f"{self.path}: its checkpoint does not hold what was written.")
        return info, model

    def close(self) -> None:
        """Give the file back: another session may open it. Closing twice does no harm."""
        with _TURN:
            connection, self._connection = self._connection, None
            if connection is not None:
                _OPEN.pop(self._identity, None)
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")  # a cursor in the traceback of an error would keep the lock
                connection.close()
            if self._file is not None:
                self._file.close()

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

    def _open(self) -> None:
        try:
            if _file_state(self.path)[:2] in _OPEN:  # to open and close it here would give the locks of that one back
                raise BlockingIOError
            self._file = self.path.open("a+b", buffering=0)
            if _LOCK_BYTE is not None:
                fcntl.fcntl(self._file, *_LOCK_BYTE)
        except BlockingIOError:
            raise BlockingIOError(errno.EAGAIN, _IS_OPEN, str(self.path)) from None
        self._identity = _file_state(self.path)[:2]
        self._file.seek(0)
        self._check_header(self._file.read(100))
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        connection.text_factory = lambda text: text.decode(errors="replace")  # what is damaged need not be UTF-8
        self._connection = connection
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        self._synced()
        connection.execute(f"PRAGMA busy_timeout = {_READER_SECONDS * 1000}")
        _OPEN[self._identity] = self

    def _check_header(self, header: bytes) -> None:
        # Without SQLite, which writes to the database of another program when it opens one in WAL mode.
        if not header.strip(b"\0"):
            return  # new, or lost in the commit that began it: SQLite knows
        if header[:16] != b"SQLite format 3\0" or header[68:72] != _APPLICATION:
            raise JournalError(f"{self.path} is no journal of a session. {_RESTORE}")
        if (version := int.from_bytes(header[60:64], "big")) != _FORMAT:
            raise JournalError(
                f"{self.path} is a journal of format {version}, this version reads {_FORMAT}; go on with the version "
                "of skada_active that wrote it."
            )
        if header[18:20] != b"\1\1":
            raise JournalError(f"{self.path} is damaged, or another program set it to WAL mode. {_RESTORE}")

    def _synced(self) -> list[tuple[str, str]]:
        # An interruption can leave an entry in the file that memory does not have.
        with _TURN, self._os_errors("the journal could not be read"):
            if not self._is_synced:
                self._entries, self._is_synced = self._read(self._locked()), True
            return self._entries

    def _read(self, connection: sqlite3.Connection) -> list[tuple[str, str]]:
        entries: list[tuple[str, str]] = []
        tables = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        if not tables and not os.path.getsize(self.path):
            return entries
        if tables != [("table", name, name, sql) for name, sql in _TABLES.items()]:
            raise JournalError(f"{self.path} is damaged: its tables are not those of a journal. {_RESTORE}")
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise JournalError(f"{self.path} is damaged: {problem}. {_RESTORE}")
        before = ""
        rows = connection.execute("SELECT number, content, digest FROM entries ORDER BY number").fetchall()
        for position, (number, content, digest) in enumerate(rows):
            before = chain_digest(before, str(content))
            if (number, digest) != (position, before):
                raise JournalError(
                    f"{self.path}, entry {position}: damaged or missing; it does not hold what was written, or does "
                    f"not follow the entry before. {_RESTORE}"
                )
            entries.append((str(content), before))
        heads = connection.execute("SELECT * FROM head").fetchall()
        if not entries or heads != [(len(entries), before)]:
            raise JournalError(
                f"{self.path}: the entries are not those that were written, {len(entries)} were found and "
                f"{heads[0][0] if heads else 'none'} recorded. {_RESTORE}"
            )
        return entries

    def _write(
        self, what: str, entries: list[tuple[str, str]] | None, *statements: tuple[str, tuple[Any, ...]]
    ) -> None:
        with _TURN, self._os_errors(f"nothing of this {what} was recorded, what came before is safe"):
            self._synced()
            connection = self._locked()
            self._is_synced, self._file_state = False, None  # until it is known what came of it
            try:
                for statement, values in statements:
                    connection.execute(statement, values)
                connection.execute("COMMIT")
                if entries is not None:
                    self._entries.extend(entries)
                    self._is_synced = True
            finally:
                with contextlib.suppress(sqlite3.Error, OSError, JournalError):  # else the next call does it
                    self._lock(connection)
                    self._synced()

    def _locked(self) -> sqlite3.Connection:
        """Return the connection, in a transaction that has written nothing, if the file is as the journal left it."""
        if os.getpid() != self._process:
            raise BlockingIOError(
                errno.EAGAIN,
                "The journal is open in the process that this one was forked from, and two of them would write to it; "
                "open the session after the fork",
                str(self.path),
            )
        if self._connection is None:
            raise ValueError(f"The journal {self.path} is closed; open the session again with journal=...")
        # Before SQLite looks: what took the place of the file may have a rollback file, which is none of ours.
        found = _file_state(self.path)
        is_changed = found[:2] != self._identity or self._file_state not in (None, found)
        if not is_changed:
            # The system drops the locks of a process that closes any other descriptor of the file, as copying it does.
            self._lock(self._connection)
            if self._is_synced and self._entries:
                heads = self._connection.execute("SELECT * FROM head").fetchall()
                is_changed = heads != [(len(self._entries), self._entries[-1][1])]
        if is_changed:
            raise JournalError(
                f"{self.path}: another program changed, replaced or removed the file while the session was open. "
                "Nothing of this was recorded. Close the session and open it again."
            )
        return self._connection

    def _lock(self, connection: sqlite3.Connection) -> None:
        # Held as long as the journal is open: a transaction that has written nothing keeps other writers out, not those
        # who read. Between two transactions, the lock of the byte keeps other journals out.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        self._file_state = _file_state(self.path)

    @contextlib.contextmanager
    def _os_errors(self, consequence: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a message may quote bytes that are damaged
            for text, number, remedy in _ERRORS:
                if text in str(error):
                    raise OSError(number, f"{error}; {consequence}. {remedy}", str(self.path)) from error
            raise JournalError(f"{self.path} is damaged: {error}. {_RESTORE}") from error


def _after_fork_in_child() -> None:
    # A child that outlives its parent would keep the lock of the byte, which goes with the open file.
    for journal in list(_OPEN.values()):
        journal.close()
    _TURN.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_TURN.acquire, after_in_parent=_TURN.release, after_in_child=_after_fork_in_child)


def _checked_path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f'journal must be the path of a file such as "labels.db", got {path!r}.')
    path = Path(path).absolute()
    if path.is_dir():
        raise IsADirectoryError(f"journal must be the path of a file, {path} is a folder; name a file in it.")
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in made if os.name != "nt" else []:  # Windows opens no folders
        descriptor = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return path


def _file_state(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
