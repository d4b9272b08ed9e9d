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
_IS_OPEN = "The journal is open in another process or session. Close that one (session.close()), or use another file"
_NO_ACCESS = "Make room on the disk, or give access to the file and its folder, and do it again"
#: The system's number of an error, by a part of SQLite's message.
_ERRORS = {"locked": errno.EAGAIN, "full": errno.ENOSPC, "disk I/O": errno.EIO, "too big": errno.EFBIG}
_ERRORS |= {"readonly": errno.EACCES, "unable to open": errno.EACCES}
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

    _connection: sqlite3.Connection | None = None
    _file: IO[bytes] | None = None

    def __init__(self, path: Any) -> None:
        self.path = _checked_path(path)
        # One list holds what is committed, so that an interruption cannot leave entries and their digests apart.
        self._entries: list[tuple[str, str]] = []
        self._in_doubt = True  # whether the file may hold what memory does not
        self._file_state: tuple[int, ...] = ()
        with self._turn("the journal could not be opened"):
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def __len__(self) -> int:
        return len(self._known()[1:])

    @property
    def start(self) -> str | None:
        """The text that the journal was begun with; None in a new one."""
        return next((content for content, _ in self._known()), None)

    def since(self, n_entries: int) -> list[str]:
        """Return the entries after the first `n_entries`."""
        return [content for content, _ in self._known()[1 + n_entries :]]

    @property
    def is_open(self) -> bool:
        """Whether the journal can be written to."""
        return self._connection is not None

    def begin(self, start: str) -> None:
        """Write the start of a session, in place of any other one: entries and checkpoint are removed."""
        digest = chain_digest("", start)
        marks = f"PRAGMA application_id = {int.from_bytes(_APPLICATION, 'big')}", f"PRAGMA user_version = {_FORMAT}"
        statements = [*(f"DROP TABLE IF EXISTS {table}" for table in _TABLES), *_TABLES.values(), *marks]
        entry = "INSERT INTO entries VALUES (0, ?, ?)", (start, digest)
        head = "INSERT INTO head VALUES (1, ?)", (digest,)
        self._write("start", [(start, digest)], *[(statement,) for statement in statements], entry, head)

    def append(self, content: str) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises
        ------
        OSError
            If the disk is full or fails, or another program reads the file for more than ten seconds. Nothing of the
            entry is left then, unless the very last flush failed: then it may be there, and `since` shows it.
        ValueError
            If the journal is closed, as it is in every fork of the process that opened it, or another program changed
            its file (`JournalError`).
        """
        with _TURN:
            entries = self._known()
            number, digest = len(entries), chain_digest(entries[-1][1], content)
            entry = "INSERT INTO entries VALUES (?, ?, ?)", (number, content, digest)
            head = "UPDATE head SET n_entries = ?, digest = ?", (number + 1, digest)
            self._write("answer", [*entries, (content, digest)], entry, head)

    def write_checkpoint(self, info: str, model: bytes) -> None:
        """Replace the checkpoint; errors as of `append`."""
        row = info, model, chain_digest(info, model)
        self._write("checkpoint", None, ("DELETE FROM checkpoint",), ("INSERT INTO checkpoint VALUES (?, ?, ?)", row))

    def read_checkpoint(self) -> tuple[str, bytes] | None:
        """Return the checkpoint, None where there is none; a `JournalError` if it is damaged."""
        select = "SELECT CAST(info AS TEXT), CAST(model AS BLOB), digest FROM checkpoint"
        with self._turn("the checkpoint could not be read"):
            row = self._locked().execute(select).fetchone()
        if row is not None and row[2] != chain_digest(row[0], row[1]):
            raise JournalError(f"{self.path}: its checkpoint does not hold what was written.")
        return row and row[:2]

    def close(self) -> None:
        """Give the file back: another session may open it. Closing twice does no harm."""
        with _TURN:
            connection, self._connection = self._connection, None
            if connection is not None:
                _OPEN.pop(self._file_state[:2], None)
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
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"{self.path} cannot be pickled or copied: two of them would write to one journal.")

    def _open(self) -> None:
        if _file_state(self.path)[:2] in _OPEN:  # to open and close it here would give the locks of that one back
            raise BlockingIOError
        self._file = self.path.open("a+b", buffering=0)
        if _LOCK_BYTE is not None:
            fcntl.fcntl(self._file, *_LOCK_BYTE)
        self._file_state = _file_state(self.path)[:2]
        self._file.seek(0)
        header = self._file.read(100)
        # Without SQLite, which writes to the database of another program when it opens one in WAL mode.
        if header.strip(b"\0"):  # else it is new, or lost in the commit that began it: SQLite knows
            if (header[:16], header[18:20], header[68:72]) != (b"SQLite format 3\0", b"\1\1", _APPLICATION):
                raise JournalError(f"{self.path} is no journal of a session, or was set to WAL mode. {_RESTORE}")
            if (version := int.from_bytes(header[60:64], "big")) != _FORMAT:
                raise JournalError(f"{self.path} is a journal of format {version}, this version reads {_FORMAT}.")
        self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        for setting in _SETTINGS:
            self._connection.execute(f"PRAGMA {setting}")
        tables = self._connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        if os.path.getsize(self.path) and tables != [("table", name, name, sql) for name, sql in _TABLES.items()]:
            raise self._damage("its tables are not those of a journal")
        if (problem := self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise self._damage(problem)
        self._locked().execute(f"PRAGMA busy_timeout = {_READER_SECONDS * 1000}")
        _OPEN[self._file_state[:2]] = self

    def _damage(self, what: object) -> JournalError:
        return JournalError(f"{self.path} is damaged: {what}. {_RESTORE}")

    def _known(self) -> list[tuple[str, str]]:
        with self._turn("the journal could not be read"):
            if self._in_doubt:
                self._locked()
            return self._entries

    def _locked(self) -> sqlite3.Connection:
        """Return the connection, in a transaction that has written nothing, if the file is as the journal left it."""
        if self._connection is None:
            raise ValueError(f"The journal {self.path} is closed; open the session again. A fork closes it.")
        # Before SQLite looks: what took the place of the file may have a rollback file, which is none of ours.
        if _file_state(self.path)[: len(self._file_state)] != self._file_state:
            what = "another program changed, replaced or removed it. Nothing of this was recorded; open it again."
            raise JournalError(f"{self.path}: {what}")
        # The system drops the locks of a process that closes any other descriptor of the file, as copying it does. A
        # transaction that has written nothing keeps other writers out, not those who read. Between two transactions,
        # the lock of the byte keeps other journals out.
        self._connection.rollback()
        self._connection.execute("BEGIN IMMEDIATE")
        if os.path.getsize(self.path):
            self._catch_up(self._connection)
        self._file_state, self._in_doubt = _file_state(self.path), False
        return self._connection

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        entries = [] if self._in_doubt else self._entries
        if self._in_doubt:
            for number, content, digest in connection.execute("SELECT * FROM entries ORDER BY number").fetchall():
                if (number, digest) != (len(entries), chain_digest(entries[-1][1] if entries else "", str(content))):
                    raise self._damage(f"entry {len(entries)} is missing or not what was written")
                entries.append((str(content), digest))
        if not entries or connection.execute("SELECT * FROM head").fetchall() != [(len(entries), entries[-1][1])]:
            raise self._damage(f"its {len(entries)} entries are not those that were written")
        self._entries = entries

    def _write(self, what: str, entries: list[tuple[str, str]] | None, *statements: tuple[Any, ...]) -> None:
        with self._turn(f"nothing of this {what} was recorded, what came before is safe"):
            connection = self._locked()
            self._in_doubt, self._file_state = True, self._file_state[:2]  # until it is known what came of it
            try:
                for statement in statements:
                    connection.execute(*statement)
                connection.execute("COMMIT")
                self._entries, self._in_doubt = entries or self._entries, False
            finally:
                with contextlib.suppress(sqlite3.Error, OSError, JournalError):  # else the next call does it
                    self._locked()

    @contextlib.contextmanager
    def _turn(self, consequence: str) -> Iterator[None]:
        with _TURN:
            try:
                yield
            except (BlockingIOError, sqlite3.DatabaseError, UnicodeDecodeError) as error:  # it may quote damaged bytes
                text = "locked" if isinstance(error, BlockingIOError) else str(error)
                number = next((number for part, number in _ERRORS.items() if part in text), None)
                if number is None:
                    raise self._damage(error) from error
                remedy = _IS_OPEN if number == errno.EAGAIN else _NO_ACCESS
                raise OSError(number, f"{text}; {consequence}. {remedy}", str(self.path)) from error


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
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in made if os.name != "nt" else []:  # Windows opens no folders
        descriptor = os.open(folder.parent, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return path


def _file_state(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return ()
