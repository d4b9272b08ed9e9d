"""Store of runs: one file that each is committed to when it ends."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

from skada_active.exceptions import JournalError
from skada_active.io.journal import Journal

__all__ = ["RunStore"]

_START = json.dumps({"kind": "experiments", "format": 1})


class RunStore:
    """Records of runs in a journal, found by their keys.

    Parameters
    ----------
    path : str or path
        The file; made, with its folder, if it is not there.

    Raises
    ------
    JournalError
        If the file is damaged, or holds something else.
    BlockingIOError
        If another process has it open.
    OSError
        If it cannot be made or written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._journal = Journal(path)
        try:
            if self._journal.start is None:
                self._journal.begin(_START)
            elif self._journal.start != _START:
                raise JournalError(
                    f"{self._journal.path} is a journal of something else than experiments, such as a labelling "
                    "session; give another file as store."
                )
        except BaseException:
            self.close()
            raise

    def records(self) -> list[dict[str, Any]]:
        """Return the last record of every key, in the order of their ends."""
        found: dict[str, dict[str, Any]] = {}
        for content in self._journal.since(0):
            record = json.loads(content)
            found.pop(record["key"], None)
            found[record["key"]] = record
        return list(found.values())

    def add(self, record: dict[str, Any]) -> None:
        """Commit a record; it is on the disk when this returns."""
        self._journal.append(json.dumps(record))

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
