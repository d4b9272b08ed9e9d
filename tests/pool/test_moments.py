"""Moments of source domains: of their rows, or of a summary where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.pool.moments import source_moments

NAMES = ("source_mean", "source_std", "source_count")


def test_they_are_those_of_each_domain_in_the_order_of_the_numbers():
    rng = np.random.default_rng(0)
    features, domain = rng.normal(size=(50, 3)).astype(np.float32), rng.permutation(50) % 2 + 4
    found = source_moments(features, domain)
    for position, number in enumerate((4, 5)):
        rows = features[domain == number].astype(np.float64)
        np.testing.assert_allclose(found["source_mean"][position], rows.mean(axis=0))
        np.testing.assert_allclose(found["source_std"][position], rows.std(axis=0))
        assert found["source_count"][position] == len(rows)


def test_a_view_derives_them_from_its_source_rows():
    features, domain = np.arange(12.0).reshape(4, 3), [2, 1, 2, 1]
    view = PoolView(index=[0], source_features=features, source_domain=domain)
    expected = source_moments(features, np.array(domain))
    for name in NAMES:
        np.testing.assert_array_equal(getattr(view, name), expected[name])


def test_without_rows_or_moments_they_are_missing():
    for name in NAMES:
        with pytest.raises(AttributeError, match=f"{name} was not filled"):
            getattr(PoolView(index=[0]), name)


def test_no_rows_have_no_moments():
    assert {name: values.shape for name, values in source_moments(np.empty((0, 3)), np.empty(0)).items()} == {
        "source_mean": (0, 3),
        "source_std": (0, 3),
        "source_count": (0,),
    }
