"""Rows that look like no source row."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.inspection._strangers import stranger_p_values, strangers_among


def test_conformal_p_values_of_usual_rows_are_uniform():
    rng = np.random.RandomState(0)
    p_values = stranger_p_values(rng.normal(size=(1000, 3)), rng.normal(size=(800, 3)))
    for share in (0.05, 0.2, 0.5):
        assert (p_values <= share).mean() == pytest.approx(share, abs=0.06)
    assert strangers_among(p_values, 0.05).sum() <= 2


def test_far_rows_are_flagged_and_few_others():
    rng = np.random.RandomState(0)
    target = rng.normal(size=(400, 3))
    target[:20] += 10
    flagged = strangers_among(stranger_p_values(rng.normal(size=(1000, 3)), target), 0.05)
    assert flagged[:20].all()
    assert flagged[20:].sum() <= 4
