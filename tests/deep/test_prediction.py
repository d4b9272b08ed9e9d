"""What a network says of a row does not depend on the rows beside it."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.deep import AdaptationClassifier

X = 3 * np.random.default_rng(0).uniform(size=(37, 3))


@pytest.mark.parametrize("random_state", range(4))
@pytest.mark.parametrize("n_rows", [1, 2, 3, 20])
def test_a_subset_of_a_table_gives_the_same_embedding(random_state, n_rows):
    model = AdaptationClassifier(max_epochs=1, random_state=random_state).fit(X, X[:, 0].astype(int))
    parts = [model.transform(X[start : start + n_rows]) for start in range(0, 37, n_rows)]
    np.testing.assert_allclose(np.concatenate(parts), model.transform(X), atol=1e-7, rtol=1e-4)
