"""Answers that people give in a table: read from its cells with a check, and sorted into new ones and faults."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from skada_active.labels import labels_to_list
from skada_active.session.state import SessionState
from skada_active.utils.warn import warn_user

__all__ = ["LabelReader", "answers_in"]

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
#: From here on a float does not tell one integer from the next.
_EXACT = 2**53
#: What programs read as an empty cell.
_READ_AS_BLANK = {"na", "n/a", "#n/a", "nan", "null", "none", "<na>", "nat"}


class LabelReader:
    """Reader of the label in a cell, whatever a spreadsheet has made of it.

    Numbers are compared by value (``"1"``, ``1`` and ``1.0`` are one), truth values in any case, other text as it is
    written. What may be two classes is refused, and so is what is none of them, unless new classes may come.

    Parameters
    ----------
    classes : sequence
        Labels that the model knows.
    skip : str
        What stands in a cell of a row that cannot be labelled.
    learns : bool, default=False
        Whether a label may be one that is new to the model.
    """

    def __init__(self, classes: Sequence[Any], skip: str, *, learns: bool = False) -> None:
        self.classes, self.learns = list(classes), learns
        # Truth values beside empty cells come back as 1 and 0.
        are_truths = all(isinstance(label, bool) for label in self.classes)
        self._numbers = [Decimal(int(label)) if are_truths else _number(label) for label in self.classes]
        self._truths = [_truth(label) for label in self.classes]
        if not isinstance(skip, str) or is_blank(skip) or _number(skip) is not None:
            raise ValueError(f"skip must be a word or a sign that stands for 'cannot be labelled', got {skip!r}.")
        self.skip = _folded(skip)
        if same := [label for label in self.classes if _folded(label) == self.skip]:
            raise ValueError(f"skip={skip!r} is the class {same[0]!r} too; choose another mark, such as skip='-'.")

    def __call__(self, cell: Any) -> Any:
        """Return the label in a cell that is not blank, None for the skip mark; a ValueError says what is wrong."""
        cell = cell.item() if isinstance(cell, np.generic) else cell
        if isinstance(cell, str) and _folded(cell) == self.skip:
            return None
        number, truth = _number(cell), _truth(cell)
        if number is not None:
            _check_exact(cell, number)
            found = [label for label, other in zip(self.classes, self._numbers, strict=True) if other == number]
        elif truth is not None:
            found = [label for label, other in zip(self.classes, self._truths, strict=True) if other == truth]
        else:
            found = [label for label in self.classes if type(label) is type(cell) and label == cell]
        if len(found) > 1 and isinstance(cell, str) and cell in found and cell not in _as_written(number, truth):
            return cell
        if len(found) > 1:
            raise ValueError(
                f"{cell!r:.60} may be {' or '.join(map(repr, found))}, which programs write alike; give it by "
                "tell(ids, labels)"
            )
        return found[0] if found else self._new(cell, number)

    def _new(self, cell: Any, number: Decimal | None) -> Any:
        near = [label for label in self.classes if _folded(label) == _folded(cell)]
        words = f"; from {near[0]!r} it differs by case or blanks alone" if near else ""
        if self.learns and not near:
            kinds = {type(label) for label in self.classes}
            if kinds == {str} and isinstance(cell, str) and cell == cell.strip():
                return cell
            if kinds <= {int, float} and number is not None and number == int(number) and number != -1:
                return next(iter(kinds), int)(number)
            words = f", nor a new one of their type ({', '.join(sorted(kind.__name__ for kind in kinds))})"
        elif not near:
            close = difflib.get_close_matches(str(cell), list(map(str, self.classes)), 1)
            words = f"; the nearest is {close[0]!r}" if close else ""
        shown = f"{str(self.classes[:10])[1:-1]}{', ...' if len(self.classes) > 10 else ''}"
        raise ValueError(f"{cell!r:.60} is none of the {len(self.classes)} classes ({shown}){words}")


def answers_in(
    table: Any, state: SessionState, read: LabelReader, annotator: str | None
) -> tuple[dict[int, Any], list[str]]:
    """Return the new answers in a table by row number, None for an abstention, and what is wrong with its other cells.

    Blank labels are no answers. An answer that is on record is not given again; another one for the same row is wrong,
    and so is any of a row that has two, or a wrong one.
    """
    answers: dict[int, Any] = {}
    wrong: list[str] = []
    refused: set[int] = set()
    ids, cells = _two_columns(table)
    for number, (id_cell, cell) in enumerate(zip(ids, cells, strict=True), start=1):
        if is_blank(cell):
            continue
        row, column = None, "id"
        try:
            row = _row_number(id_cell)
            column = "label"
            label = read(cell)
            if answers.get(row, label) != label:
                raise ValueError(f"{cell!r:.60} is not what another row of the table says of this id, {answers[row]!r}")
            if not _is_known(row, label, state, annotator):
                answers[row] = label
        except ValueError as error:
            wrong.append(f"row {number} (id {id_cell!s:.20}), column {column!r}: {error}")
            refused |= set() if row is None else {row}
    blank = [cell for cell in cells if is_blank(cell)]
    like_blank = [
        label
        for label in read.classes
        if (blank and is_blank(label))
        or (str(label).casefold() in _READ_AS_BLANK and any(not isinstance(cell, str) for cell in blank))
    ]
    if like_blank:
        warn_user(
            f"The class {like_blank[0]!r} may have become one of the {len(blank)} empty cells, which are no answers; "
            "read the table by pandas.read_csv(path, keep_default_na=False), or give this class by tell(ids, labels)."
        )
    return {row: label for row, label in answers.items() if row not in refused}, wrong


def is_blank(cell: Any) -> bool:
    """Tell whether nothing stands in a cell: None, NaN, pandas.NA, NaT, or no more than blanks."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, Real) and cell != cell)


def _is_known(row: int, label: Any, state: SessionState, annotator: str | None) -> bool:
    """Tell whether an answer is on record; a ValueError if the row has another one, or was not asked about."""
    votes = state.votes.get(row, {})
    if state.is_open(row) and state.is_open_to(row, annotator):
        return False
    of_row = labels_to_list(state.y[[row]]) if 0 <= row < len(state.y) and state.query_round[row] > 0 else []
    if label in [*of_row, *(votes[name] for name in (annotator, None) if name in votes)]:
        return True
    if state.is_open(row):
        raise ValueError(f"{annotator} has answered {votes[annotator]!r}: `correct` changes that")
    raise ValueError(f"this is no open question{state.describe_row(row)}")


def _row_number(cell: Any) -> int:
    cell = cell.item() if isinstance(cell, np.generic) else cell
    number = _number(cell)
    if number is not None:
        _check_exact(cell, number)
    if number is None or number != int(number):
        raise ValueError("it is no row number, so that nobody knows whose label this is")
    return int(number)


def _two_columns(table: Any) -> tuple[list[Any], list[Any]]:
    """Return the columns ``id`` and ``label`` of a DataFrame, a mapping of columns, records or a structured array."""
    if isinstance(table, Sequence) and not isinstance(table, str) and all(isinstance(row, Mapping) for row in table):
        table = {
            name: [row.get(name) for row in table] for name in dict.fromkeys(name for row in table for name in row)
        }
        table = table or {"id": [], "label": []}
    if getattr(getattr(table, "index", None), "name", None) == "id" and "id" not in table:
        table = table.reset_index()
    names = getattr(table, "columns", None)
    names = getattr(getattr(table, "dtype", None), "names", None) if names is None else names
    names = table if names is None and isinstance(table, Mapping) else names
    if names is None:
        raise TypeError(
            "table must be a DataFrame, a mapping of columns or a list of records with 'id' and 'label', got "
            f"{type(table).__name__}; read a file by pandas.read_csv(path)."
        )
    # A file may begin with a byte order mark.
    names = [(str(name).lstrip("\ufeff").strip(), name) for name in names]
    columns = []
    for wanted in ("id", "label"):
        found = [name for text, name in names if text == wanted]
        if len(found) != 1:
            texts = [text for text, _ in names]
            mark = next((mark for mark in ";\t|" if any(mark in text for text in texts)), None)
            hint = "" if mark is None else f" (read it by pandas.read_csv(path, sep={mark!r}))"
            raise ValueError(
                f"table must have one column {wanted!r}, got {len(found)} among the columns {texts[:20]}{hint}."
            )
        column = table[found[0]]
        if np.ndim(column) != 1:
            raise ValueError(f"table must have a list in the column {wanted!r}, got {column!r:.80}.")
        columns.append(list(column))
    if len(columns[0]) != len(columns[1]):
        raise ValueError(f"table has {len(columns[0])} ids and {len(columns[1])} labels; give one label per id.")
    return columns[0], columns[1]


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            return Decimal(value) if _NUMBER.fullmatch(value) else None
        except ArithmeticError:  # an exponent beyond all bounds
            return None
    if isinstance(value, Integral):
        return Decimal(int(value))
    return Decimal(repr(float(value))) if isinstance(value, Real) and math.isfinite(value) else None


def _check_exact(cell: Any, number: Decimal) -> None:
    written = cell if isinstance(cell, str) else repr(cell)
    if number.copy_abs() >= _EXACT and re.search(r"[.e]", written, re.IGNORECASE):
        raise ValueError(
            f"{cell!r:.60} has lost its last digits; read the table with dtype=str, and format ids as text"
        )


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.casefold()) if isinstance(value, str) else None


def _as_written(number: Decimal | None, truth: bool | None) -> set[str]:
    """Return how programs write a number or a truth value, whatever stood there before."""
    if number is not None:
        return {str(int(number)), repr(float(number))} if number == int(number) else {repr(float(number))}
    return set() if truth is None else {str(truth), str(truth).upper()}


def _folded(label: Any) -> str:
    return "".join(str(label).split()).casefold()
