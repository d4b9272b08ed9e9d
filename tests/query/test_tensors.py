"""Strategies on a view whose features are on a device choose what they choose of arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator

from skada_active import query
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import DANN, TSF, AdaptationClassifier
from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView, snapshot
from skada_active.pool.readers import ModelReader
from skada_active.query import GALA, LAS, SAGE, CoreSet, Prefilter, QueryStrategy

STRATEGIES = [
    strategy
    for name in query.__all__
    if isinstance(kind := getattr(query, name), type) and issubclass(kind, QueryStrategy)
    if "features" in (strategy := kind()).on_device
]
CONFIGURED = [
    CoreSet("labeled"),
    CoreSet(None),
    LAS(n_neighbors=3, oversampling=2),
    SAGE(projection=None, diversity="kmeans++"),
    GALA(embedding="reduced"),
    GALA(mode="local", outlier_neighbors=3),
    Prefilter(CoreSet(), n_candidates=20),
]


def make_fields(n=90, n_classes=4, width=6):
    rng = np.random.default_rng(0)
    shapes = ((5, width), (5,), (n_classes, 5), (n_classes,))
    return {
        "proba": softmax(rng.normal(size=(n, n_classes)), axis=1),
        "features": rng.normal(size=(n, width)),
        "labeled_features": rng.normal(size=(3, width)),
        "source_features": rng.normal(size=(30, width)),
        "source_domain": np.arange(30) % 2,
        "head_weight": rng.normal(size=(n_classes, width)),
        "domain_grad": rng.normal(size=(n, width)),
        "class_discriminator": tuple(rng.normal(size=shape) for shape in shapes),
    }


def moved(fields, to_tensor):
    """Return the fields of a view with those of the width of the embedding as tensors."""
    names = [name for name in fields if name.endswith("features")]
    tensors = {name: to_tensor(fields[name]) for name in names}
    return fields | tensors | {"class_discriminator": tuple(map(to_tensor, fields["class_discriminator"]))}


def test_every_strategy_that_computes_with_features_takes_tensors():
    names = {type(strategy).__name__ for strategy in STRATEGIES}
    assert names == {
        "BADGE",
        "CLUE",
        "CoreSet",
        "D3GU",
        "GALA",
        "KMeansSampling",
        "LAS",
        "MHPL",
        "Mixed",
        "ProbCover",
        "SAGE",
        "Staged",
        "TypiClust",
    }


@pytest.mark.parametrize("strategy", STRATEGIES + CONFIGURED, ids=repr)
def test_picks_of_tensors_are_those_of_arrays(strategy, to_tensor):
    fields = make_fields()
    found = strategy.select(PoolView(**moved(fields, to_tensor)), 12, random_state=0)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == strategy.select(PoolView(**fields), 12, random_state=0).tolist()


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s.has_utilities()], ids=repr)
def test_utilities_of_tensors_are_those_of_arrays(strategy, to_tensor):
    fields = make_fields()
    found = strategy.utilities(PoolView(**moved(fields, to_tensor)))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, strategy.utilities(PoolView(**fields)))


def test_gradients_may_be_tensors(to_tensor):
    fields = make_fields()
    del fields["class_discriminator"]
    gradients = np.random.default_rng(1).normal(size=(90, 4, 6))
    expected = SAGE().select(PoolView(**fields, class_domain_grad=gradients), 9)
    fields["features"] = to_tensor(fields["features"])
    assert SAGE().select(PoolView(**fields, class_domain_grad=to_tensor(gradients)), 9).tolist() == expected.tolist()
    view = PoolView(**fields, class_domain_grad=lambda rows: to_tensor(gradients[rows]))
    assert SAGE().select(view, 9).tolist() == expected.tolist()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_features_may_be_of_half_the_width(strategy, to_tensor):
    """As those of a network that computes in mixed precision."""
    fields = make_fields()
    rounded = torch.as_tensor(fields["features"]).bfloat16()
    fields["features"] = rounded.float().numpy()
    expected = strategy.select(PoolView(**fields), 12, random_state=0)
    view = PoolView(**fields | {"features": to_tensor(fields["features"]).bfloat16()})
    assert strategy.select(view, 12, random_state=0).tolist() == expected.tolist()


def test_small_fields_come_to_the_host_and_features_stay(to_device):
    fields = make_fields()
    view = PoolView(proba=to_device(fields["proba"]), features=to_device(fields["features"]))
    assert isinstance(view.proba, np.ndarray)
    assert isinstance(view.features, type(to_device([0.0])))
    part = view.take([4, 2])
    np.testing.assert_array_equal(part.features.cpu(), fields["features"][[4, 2]])
    np.testing.assert_allclose(view.normalized_features.cpu().norm(dim=1), 1)


def test_features_that_are_not_finite_are_named(to_tensor):
    fields = make_fields()
    fields["features"][7, 1] = np.inf
    with pytest.raises(ValueError, match="features of the pool view holds NaN or infinity, first in its row 7"):
        CoreSet(None).select(PoolView(features=to_tensor(fields["features"])), 3)


@pytest.fixture(scope="module")
def fitted():
    X, y, domain = make_shifted_blobs(n_source=60, n_target=50, random_state=0)
    known = mask_target(y, domain)
    model = AdaptationClassifier(TSF() + DANN(), max_epochs=2, random_state=0).fit(X, known, domain)
    return model, X, known, domain


def test_a_snapshot_leaves_features_on_the_device_of_the_network(fitted):
    model, X, known, domain = fitted
    roles = resolve_roles(known, domain)
    needs = {"proba", "features", "source_features"}
    expected = snapshot(model, X, roles, needs)
    view = snapshot(model, X, roles, needs, on_device={"features"})
    assert view.features.device == view.source_features.device == model.device_
    assert isinstance(view.proba, np.ndarray)
    np.testing.assert_array_equal(view.features.cpu(), expected.features)
    np.testing.assert_array_equal(view.source_features.cpu(), expected.source_features)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_queries_on_an_accelerator_read_tensors_and_choose_the_same(fitted, strategy, monkeypatch):
    model, X, known, domain = fitted
    strategy = strategy.set_params(estimator=FrozenEstimator(model), random_state=0)
    expected = strategy.fit(X, known, domain).query(6)
    monkeypatch.setattr(ModelReader, "on_accelerator", True)
    found = strategy.fit(X, known, domain).query(6)
    assert not isinstance(strategy.pool_.features, np.ndarray)
    assert found.tolist() == expected.tolist()


def test_models_without_a_device_supply_arrays(fitted):
    from sklearn.linear_model import LogisticRegression

    _, X, known, domain = fitted
    roles = resolve_roles(known, domain)
    model = LogisticRegression().fit(X[roles.source], known[roles.source])
    assert isinstance(snapshot(model, X, roles, {"features"}, on_device={"features"}).features, np.ndarray)
