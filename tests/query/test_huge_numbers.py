"""Numbers whose squares are out of range: a right answer or an error in words, never a warning or a NaN."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import (
    AADA,
    ADMA,
    BADGE,
    CLUE,
    D3GU,
    DUC,
    EADA,
    GALA,
    LAMDA,
    LAS,
    MHPL,
    SAGE,
    SDM,
    VAAL,
    CoreSet,
    KMeansSampling,
    Prefilter,
    sage_embedding,
)
from skada_active.testing._views import make_fields

STRATEGIES = [
    GALA(),
    GALA(mode="local", gap="gaussian_w2"),
    GALA(mode="global", embedding="reduced"),
    GALA(target_budget="need", outlier_neighbors=2),
    SAGE(),
    SAGE(diversity="kmeans++"),
    SDM(),
    SDM(query_loss="margin"),
    CoreSet(),
    KMeansSampling(),
    BADGE(),
    CLUE(),
    D3GU(),
    D3GU(diversity=None),
    LAS(),
    AADA(),
    DUC(),
    EADA(),
    EADA(beta=1e-300),
    MHPL(),
    LAMDA(pseudo_label_threshold=None),
    VAAL(max_epochs=1),
    ADMA(),
    Prefilter(n_candidates=6),
]
DENSE = ("features", "source_features", "labeled_features", "logits", "head_weight")


def answer(strategy, view):
    """Return the utilities of a view that can be chosen from, or what is wrong with it."""
    try:
        strategy.select(view, 4, random_state=0)
        return strategy.utilities(view) if strategy.has_utilities() else np.zeros(1)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("names", [DENSE[:1], DENSE[-1:], DENSE[:3], DENSE], ids="+".join)
def test_numbers_of_any_size_give_an_answer_or_an_error_in_words(strategy, dtype, names):
    for exponent in (18, 19, 20, 37, 80, 150, 153, 155, 156, 200, 300)[: 4 if dtype is np.float32 else None]:
        fields = make_fields(dtype=dtype)
        fields |= {name: (fields[name] * dtype(10.0**exponent)).astype(dtype) for name in names}
        view = PoolView(**fields)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = answer(strategy, view)
        assert "scale" in found if isinstance(found, str) else not (np.isnan(found) | np.isposinf(found)).any()


def test_sdm_goes_by_the_angles_of_a_head_of_any_size():
    fields = make_fields()
    expected = SDM(gradient_weight=1.0).utilities(PoolView(logits=fields["logits"], head_weight=fields["head_weight"]))
    for scale in (2.0**40, 2.0**600, 2.0**1020):
        view = PoolView(logits=fields["logits"], head_weight=scale * fields["head_weight"])
        np.testing.assert_allclose(SDM(gradient_weight=1.0).utilities(view), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["class_domain_grad", "features", "proba", "logits", "head_bias"])
def test_objects_and_complex_numbers_in_a_view_are_refused_by_name(name):
    values = make_fields()[name]
    for bad in (values.astype(object), values.astype(complex), values.astype(str)):
        with pytest.raises(ValueError, match=rf"PoolView\.{name} must hold real numbers, got dtype"):
            PoolView(**{name: bad}, index=np.arange(12))


def test_gradients_given_as_objects_become_numbers():
    fields = make_fields()
    given = [fields["proba"], fields["features"]]
    expected = sage_embedding(*given, fields["class_domain_grad"]).sq_norms()
    found = sage_embedding(*given, fields["class_domain_grad"].astype(object)).sq_norms()
    np.testing.assert_array_equal(found, expected)
