"""Values of a pool view that do not fit its fields are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView

# One hidden layer of 5 units between an embedding of width 4 and 3 classes.
DISCRIMINATOR = (np.ones((5, 4)), np.ones(5), np.ones((3, 5)), np.ones(3))


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="no field 'probs'"):
        PoolView(probs=[[0.5, 0.5]])


@pytest.mark.parametrize("name", ["proba", "committee_proba"])
@pytest.mark.parametrize("row", [[0.5, 0.4], [np.nan, 1.0], [1.5, -0.5], [np.inf, 0.0]])
def test_rows_that_are_no_probabilities_are_refused(name, row):
    values = [row] if name == "proba" else [[row]]
    with pytest.raises(ValueError, match=f"{name} must hold probabilities"):
        PoolView(**{name: values})


def test_rows_that_sum_to_one_within_a_thousandth_pass():
    assert len(PoolView(proba=[[0.5, 0.5009]])) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_that_are_not_finite_point_at_the_model(value):
    proba = np.full((3, 2), 0.5)
    proba[1, 0] = value
    with pytest.raises(ValueError, match=r"its row 1 holds NaN or infinity: the outputs of the model.*diverged"):
        PoolView(proba=proba)


def test_a_field_of_the_wrong_dimension_is_refused():
    with pytest.raises(ValueError, match=r"features must have shape \(n, D\), got \(3,\)"):
        PoolView(features=[1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("fields", "axis"),
    [
        ({"proba": np.ones((3, 1)), "features": np.ones((2, 2))}, "n"),
        ({"proba": np.ones((3, 1)), "target_domain": [-1, -1]}, "n"),
        ({"logits": np.ones((3, 2)), "head_weight": np.ones((3, 4))}, "C"),
        ({"features": np.ones((3, 2)), "head_weight": np.ones((3, 4))}, "D"),
        ({"features": np.ones((3, 2)), "source_y": [0], "source_domain": [1, 1]}, "s"),
        ({"proba": np.full((3, 2), 0.5), "class_domain_grad": np.ones((2, 2, 4))}, "n"),
        ({"proba": np.full((3, 2), 0.5), "class_domain_grad": np.ones((3, 4, 4))}, "C"),
        ({"features": np.ones((3, 2)), "class_domain_grad": np.ones((3, 4, 4))}, "D"),
        ({"features": np.ones((3, 2)), "class_discriminator": DISCRIMINATOR}, "D"),
        ({"logits": np.ones((3, 4)), "class_discriminator": DISCRIMINATOR}, "C"),
    ],
)
def test_shapes_that_disagree_are_refused(fields, axis):
    with pytest.raises(ValueError, match=f"has {axis}="):
        PoolView(**fields)


def test_a_class_domain_grad_of_the_wrong_dimension_is_refused():
    with pytest.raises(ValueError, match=r"class_domain_grad must have shape \(n, C, D\), got \(2, 3\)"):
        PoolView(index=[0, 1], class_domain_grad=np.ones((2, 3)))


def test_a_class_discriminator_of_other_than_four_parts_is_refused():
    with pytest.raises(ValueError, match=r"class_discriminator must be a tuple \(W1, b1, W2, b2\), got 3 parts"):
        PoolView(index=[0, 1], class_discriminator=DISCRIMINATOR[:3])


@pytest.mark.parametrize("name", ["index", "target_domain", "labeled_y", "source_y", "source_domain"])
@pytest.mark.parametrize("values", [[0.7], [1.0], ["a"], [True]])
def test_positions_and_domains_that_are_no_integers_are_refused(name, values):
    with pytest.raises(ValueError, match=f"PoolView.{name} must hold integers, got dtype"):
        PoolView(**{"proba": [[1.0]], name: values})


@pytest.mark.parametrize("name", ["index", "target_domain", "labeled_y", "source_y", "source_domain"])
@pytest.mark.parametrize("values", [[], np.zeros(0, dtype=np.int32)])
def test_an_empty_list_of_positions_is_one_of_integers(name, values):
    assert getattr(PoolView(**{"proba": np.ones((0, 2)), name: values}), name).dtype == np.int64


def test_an_initial_size_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match=r"n_initial must be an integer, got 2.7"):
        PoolView(proba=[[1.0]], n_initial=2.7)
