from __future__ import annotations

import numpy as np
import pytest

from skada_active.pool import PoolView
from skada_active.query import BADGE, badge_embedding

PROBA = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])
FEATURES = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
VIEW = PoolView(proba=PROBA, features=FEATURES)


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    return PoolView(proba=rng.dirichlet(np.ones(3), size=40), features=rng.normal(size=(40, 5)))


def explicit(view):
    residual = view.proba - np.eye(view.proba.shape[1])[view.proba.argmax(axis=1)]
    return (residual[:, :, None] * view.features[:, None, :]).reshape(len(view), -1)


def test_gradient_norms_of_the_worked_example():
    np.testing.assert_allclose(BADGE().utilities(VIEW), [0.707107, 0.707107, 1.131371], atol=1e-6)


def test_squared_distances_of_the_worked_example():
    gradients = explicit(VIEW)
    np.testing.assert_allclose(np.square(gradients - gradients[2]).sum(axis=1), [0.5, 1.78, 0.0], atol=1e-12)


def test_the_first_pick_has_the_longest_gradient():
    assert BADGE().select(VIEW, 1).tolist() == [2]


def test_the_first_pick_of_the_other_variant_has_the_longest_residual():
    assert BADGE(first="residual_norm").select(VIEW, 1).tolist() == [1]


def test_the_first_pick_may_be_random():
    firsts = {int(BADGE(first=None).select(VIEW, 1, random_state=seed)[0]) for seed in range(30)}
    assert firsts == {0, 1, 2}


def test_the_factored_gradients_are_those_of_the_cross_entropy(view):
    torch = pytest.importorskip("torch")
    outer = badge_embedding(view.proba, view.features)
    factored = outer.left[:, :, None] * outer.right[:, None, :]
    for row in range(5):
        weight = torch.zeros((3, 5), dtype=torch.float64, requires_grad=True)
        bias = torch.tensor(np.log(view.proba[row]))
        logits = weight @ torch.tensor(view.features[row].copy()) + bias
        torch.nn.functional.cross_entropy(logits, torch.tensor(view.proba[row].argmax())).backward()
        np.testing.assert_allclose(factored[row], weight.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("n_trials", [8, "auto"])
def test_more_trials_lower_the_potential(view, n_trials):
    gradients = explicit(view)

    def potential(trials):
        picks = [BADGE(n_trials=trials).select(view, 8, random_state=seed) for seed in range(30)]
        return np.mean([np.square(gradients[:, None] - gradients[p]).sum(axis=2).min(axis=1).sum() for p in picks])

    assert potential(n_trials) < potential(1)


def test_auto_is_two_trials_plus_the_logarithm_of_the_picks(view):
    auto, explicit_trials = (BADGE(n_trials=n).select(view, 8, random_state=0) for n in ("auto", 4))
    np.testing.assert_array_equal(auto, explicit_trials)


def test_certain_predictions_have_no_gradient_and_are_still_chosen():
    view = PoolView(proba=np.eye(3)[[0, 1, 2, 0, 1]], features=np.random.default_rng(0).normal(size=(5, 2)))
    assert BADGE().utilities(view).tolist() == [0.0] * 5
    assert sorted(BADGE().select(view, 5, random_state=0).tolist()) == [0, 1, 2, 3, 4]


def test_float32_features_stay_float32():
    outer = badge_embedding(PROBA, FEATURES.astype(np.float32))
    assert outer.left.dtype == outer.right.dtype == np.float32


def test_the_pseudo_label_is_that_of_the_given_precision():
    proba = np.array([[0.5 - 1e-12, 0.5 + 1e-12]])
    assert badge_embedding(proba, np.ones((1, 1), dtype=np.float32)).left[0].tolist() == [0.5, -0.5]


@pytest.mark.parametrize("parameters", [{"first": "norm"}, {"n_trials": 0}, {"n_trials": "many"}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of BADGE must be"):
        BADGE(**parameters).select(VIEW, 1)
