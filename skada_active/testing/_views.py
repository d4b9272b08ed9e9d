"""Views to try a strategy on: every field of the table, with ordinary values and with difficult ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from skada_active.pool import PoolView
from skada_active.pool.fields import FIELDS, Field
from skada_active.pool.values import taken

__all__ = ["difficult_fields", "make_fields", "recorded", "take_fields", "view_of"]

Fields = dict[str, Any]


def make_fields(
    n: int = 12, n_classes: int = 3, width: int = 4, *, seed: int = 0, dtype: type[np.floating[Any]] = np.float64
) -> Fields:
    """Return a value for every field that does not derive from others; logits and probabilities are the head's."""
    rng = np.random.default_rng(seed)
    sizes = {"n": n, "C": n_classes, "D": width, "E": 5, "H": 6, "M": 4, "l": 3, "s": 5}
    own = (field for field in FIELDS.values() if field.source != "moments")
    fields = {field.name: _values(field, sizes, rng, dtype) for field in own}
    fields["logits"] = fields["features"] @ fields["head_weight"].T + fields["head_bias"]
    of_members = {"committee_proba": softmax(fields["committee_logits"], axis=2)}
    return fields | {"proba": softmax(fields["logits"], axis=1)} | of_members


def _values(field: Field, sizes: dict[str, int], rng: np.random.Generator, dtype: type[np.floating[Any]]) -> Any:
    shapes = [[sizes[axis] for axis in axes] for axes in ([field.axes] if isinstance(field.axes, str) else field.axes)]
    if field.integer:
        return _integers(field, shapes[0], sizes)
    values = tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
    if field.name == "virtual_divergence":
        return np.abs(values[0])
    if field.is_probability:
        return softmax(values[0], axis=-1)
    return values[0] if isinstance(field.axes, str) else values


def _integers(field: Field, shape: list[int], sizes: dict[str, int]) -> Any:
    if not shape:
        return sizes["n"]
    numbers = np.arange(shape[0])
    if field.name.endswith("_y"):
        return numbers % sizes["C"]
    if field.name.endswith("_domain"):
        return 1 + numbers % 2 if field.source == "source" else -1 - numbers % 2
    return numbers


def take_fields(fields: Fields, rows: Iterable[int]) -> Fields:
    """Return the fields of the candidates `rows`, numbered and counted from scratch."""
    rows = np.asarray(rows)
    moved = {name: taken(name, value, rows) for name, value in fields.items()}
    return moved | {"index": np.arange(len(rows)), "n_initial": len(rows)}


def with_logits(logits: NDArray[Any]) -> Fields:
    """Return fields in which the model and all members of a committee give these logits."""
    proba = softmax(logits, axis=1)
    of_all = {"logits": logits, "committee_logits": np.stack([logits, logits])}
    return make_fields(*logits.shape) | of_all | {"proba": proba, "committee_proba": np.stack([proba, proba])}


def without(fields: Fields, group: str) -> Fields:
    """Return fields in which a labelled group has no row."""
    empty = {name: value[:0] for name, value in fields.items() if FIELDS[name].source == group}
    return fields | empty


def _strided(value: Any) -> Any:
    return np.repeat(value, 2, axis=-1)[..., ::2] if isinstance(value, np.ndarray) else value


def difficult_fields() -> dict[str, Fields]:
    """Return the fields of views by what is difficult about them."""
    typical = make_fields()
    zeros = with_logits(np.zeros((12, 3)))
    flat = {name: np.zeros_like(typical[name]) for name in ("features", "head_weight", "labeled_features")}
    return {
        "an ordinary view": typical,
        "one candidate": make_fields(1),
        "two classes": make_fields(n_classes=2),
        "more classes than features": make_fields(n_classes=6, width=2),
        "one feature": make_fields(width=1),
        "every row three times": take_fields(typical, np.repeat(np.arange(4), 3)),
        "features of length zero": typical | {"features": np.zeros((12, 4))},
        "constant features": typical | {"features": np.ones((12, 4))},
        "everything zero": zeros | flat,
        "one-hot probabilities": with_logits(1e4 * np.eye(3)[np.arange(12) % 3]),
        "the same certain class for all": with_logits(1e4 * np.eye(3)[np.zeros(12, dtype=int)]),
        "the same probabilities for all": zeros,
        "the same logits for all": with_logits(np.full((12, 3), 5.0)),
        "huge features": typical | {"features": 1e6 * typical["features"]},
        "candidates at labelled rows": typical | {"labeled_features": typical["features"][:3]},
        "no labelled target row": without(typical, "labeled"),
        "one source row": typical | {name: typical[name][:1] for name in typical if FIELDS[name].source == "source"},
        "float32": make_fields(dtype=np.float32),
        "memory that is not contiguous": {name: _strided(value) for name, value in typical.items()},
        "memory in column order": {
            name: np.asfortranarray(value) if isinstance(value, np.ndarray) else value
            for name, value in typical.items()
        },
    }


def view_of(fields: Fields, names: Iterable[str]) -> PoolView:
    """Return a view in which nothing but the named fields is filled, besides the number of candidates."""
    return PoolView(**{name: fields[name] for name in {"index", "n_initial", *names}})


def recorded(fields: Fields, names: Iterable[str]) -> tuple[PoolView, set[str], set[str]]:
    """Return such a view, and two sets that fill as it is read: of the fields read, and of those that are missing."""
    read: set[str] = set()
    missing: set[str] = set()

    class Recorded(PoolView):
        """View that notes what is read of it, and of the views taken from it."""

        def __getattribute__(self, name: str) -> Any:
            if name in FIELDS and name in vars(self):
                read.add(name)
            return super().__getattribute__(name)

        def _derived(self, name: str) -> Any:
            if FIELDS[name].source == "labeled":  # none by default, so that reading it is no error
                missing.add(name)
            try:
                return super()._derived(name)
            except AttributeError:
                missing.add(name)
                raise

    view = Recorded(**{name: fields[name] for name in {"index", "n_initial", *names}})
    return view, read, missing
