"""Data that fast forms are likely to get wrong: ties, duplicates, rows of zeros, constant features."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

#: How far results in a floating type may be from those in double precision.
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-9}
dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def matrices(draw, n, width, largest=3):
    """Draw n rows of small integers: any, few distinct ones, with rows of zeros, constant features, or one-hot."""
    X = draw(arrays(np.int64, (n, width), elements=st.integers(-largest, largest)))
    kind = draw(st.sampled_from(["any", "duplicates", "zeros", "constant", "one-hot", "identical"]))
    which = draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    if kind in ("duplicates", "identical"):
        return X[np.minimum(which, n - 1) if kind == "duplicates" else 0 * which]
    if kind == "one-hot":
        return np.eye(width, dtype=np.int64)[which % width]
    X[:, : width - 1] = largest if kind == "constant" else X[:, : width - 1]
    return np.where(which[:, None] == 0, 0, X) if kind == "zeros" else X
