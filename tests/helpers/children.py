"""Forks of the test process, and faults of a journal's connection to its file."""

from __future__ import annotations

import os
import sqlite3
import traceback
import warnings


def in_child(work):
    """Run `work(report)` in a fork, report bytes through a pipe; return the pid and the reading end."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process take no part in the child
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        work(lambda text: os.write(writing, text))
        status = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(status)


def wait_for(child, reading):
    """Return how a child ended, and what it has reported."""
    with os.fdopen(reading, "rb") as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def run_in_child(work):
    """Run `work(report)` in a fork to its end, which has to be a good one; return what it has reported."""
    status, reported = wait_for(*in_child(work))
    assert status == 0, reported.decode()
    return reported


class Faults:
    """Stand between the journals that are opened and SQLite: `at(number, moment)` is called around every statement."""

    def __init__(self, monkeypatch, at=lambda number, moment: None):
        self.n_statements, self.at = 0, at
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: _Connection(connect(*args, **kwargs), self))

    def raise_at(self, make_error, numbers, moment="before"):
        """Raise an error at the statements of some numbers, counted from now."""
        first = self.n_statements

        def at(number, now):
            if number - first in numbers and now == moment:
                raise make_error()

        self.at = at

    def stop(self):
        """Raise nothing any more."""
        self.at = lambda number, moment: None


class _Connection:
    def __init__(self, connection, faults):
        vars(self).update(connection=connection, faults=faults)

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def __setattr__(self, name, value):
        setattr(self.connection, name, value)

    def execute(self, *args):
        self.faults.n_statements += 1
        number = self.faults.n_statements
        self.faults.at(number, "before")
        rows = _Rows(self.connection.execute(*args).fetchall())  # no cursor is left to an error's traceback
        self.faults.at(number, "after")
        return rows


class _Rows(list):
    def fetchall(self):
        return list(self)

    def fetchone(self):
        return self[0] if self else None
