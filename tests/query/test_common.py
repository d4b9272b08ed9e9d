"""What every query strategy has to do, whatever the data."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import skada_active.query
from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    CLUE,
    GALA,
    LAS,
    SAGE,
    SDM,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    Prefilter,
    QueryByCommittee,
    RandomSampling,
)

DETERMINISTIC = [
    EntropySampling(),
    LeastConfidenceSampling(),
    MarginSampling(),
    CoreSet(),
    CoreSet(initial_centers="labeled"),
    CoreSet(initial_centers=None),
    QueryByCommittee(n_members=2),
    QueryByCommittee(disagreement="kl", n_members=2),
    SDM(),
    SDM(gradient_weight=0),
    SDM(query_loss="margin", gradient_weight=1.0),
    SDM(jacobian="official", gradient_weight=1.0),
    LAS(oversampling=0),
    GALA(mode="local"),
    GALA(mode="local", source_aggregation="min", gap="gaussian_w2", target_budget="need", outlier_neighbors=2),
    SAGE(),
    SAGE(projection=None),
    SAGE(diversity=None),
    Prefilter(CoreSet()),
    Prefilter(SDM(), EntropySampling(), n_candidates=7),
    Prefilter(LAS(oversampling=0), QueryByCommittee("kl", n_members=2), n_candidates=6),
]
RANDOM = [
    RandomSampling(),
    KMeansSampling(),
    KMeansSampling(n_init=2),
    BADGE(),
    BADGE(first=None, n_trials="auto"),
    BADGE(first="residual_norm", n_trials=3),
    CLUE(),
    CLUE(temperature=1.0, n_init=2),
    LAS(),
    LAS(n_neighbors=3, oversampling=2.5, smoothing_coef="1/K", smoothing_iter=2, n_init=2),
    GALA(),
    GALA(mode="global"),
    GALA(alpha=0.2, source_aggregation="max", gap="gaussian_w2", target_budget="need", outlier_neighbors=3, n_init=2),
    GALA(embedding="reduced", target_budget="proportional"),
    SAGE(diversity="kmeans++"),
    Prefilter(),
    Prefilter(by=RandomSampling(), n_candidates=6),
    Prefilter(QueryByCommittee(n_members=2), RandomSampling(), n_candidates=9),
]
STRATEGIES = DETERMINISTIC + RANDOM
# These read what only a network supplies.
NEED_NETWORK = [strategy for strategy in STRATEGIES if "class_domain_grad" in strategy.required_fields()]
SCORED = [strategy for strategy in STRATEGIES if strategy.has_utilities()]
all_strategies = pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
# Fields with one row a candidate, and the axis that counts the candidates.
POOL_AXES = {"features": 0, "logits": 0, "proba": 0, "target_domain": 0, "class_domain_grad": 0, "committee_proba": 1}


def make_fields(n=12, n_classes=3, width=4, seed=0, dtype=np.float64):
    """Return all fields that a strategy of this package reads, consistent with each other."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(n_classes, width)), rng.normal(size=n_classes)
    features = rng.normal(size=(n, width))
    logits = features @ weight.T + bias
    domain_weight = rng.normal(size=(n_classes, width))
    fields = {
        "features": features,
        "logits": logits,
        "proba": softmax(logits, axis=1),
        "head_weight": weight,
        "head_bias": bias,
        "labeled_features": rng.normal(size=(3, width)),
        "source_features": rng.normal(size=(5, width)),
        "committee_proba": softmax(logits + rng.normal(size=(4, n, n_classes)), axis=2),
        "class_domain_grad": -expit(-features @ domain_weight.T)[:, :, None] * domain_weight,
    }
    domains = {"source_domain": np.array([1, 1, 2, 2, 2]), "target_domain": -1 - np.arange(n) % 2}
    return {name: value.astype(dtype) for name, value in fields.items()} | domains


def with_logits(logits):
    fields = make_fields(*logits.shape)
    proba = softmax(logits, axis=1)
    return {**fields, "logits": logits, "proba": proba, "committee_proba": np.stack([proba, proba])}


def replaced(**changes):
    return {**make_fields(), **changes}


def strided(values):
    """Return the same values in non-contiguous memory."""
    wide = np.repeat(values, 2, axis=-1)
    return wide[..., ::2]


def read_only(values):
    values.flags.writeable = False
    return values


def taken(fields, rows):
    """Return a pool of the candidates `rows`."""
    return {
        name: np.take(value, rows, axis=POOL_AXES[name]) if name in POOL_AXES else value
        for name, value in fields.items()
    }


def repeated(fields):
    """Return a pool in which every row occurs three times."""
    return taken(fields, np.repeat(np.arange(4), 3))


POOLS = {
    "typical": make_fields(),
    "one candidate": make_fields(n=1),
    "one class": make_fields(n_classes=1),
    "two classes": make_fields(n_classes=2),
    "more classes than features": make_fields(n_classes=6, width=2),
    "one candidate and one class": make_fields(n=1, n_classes=1),
    "one feature": make_fields(width=1),
    "duplicate rows": repeated(make_fields()),
    "zero features": replaced(features=np.zeros((12, 4))),
    "constant features": replaced(features=np.ones((12, 4))),
    "everything zero": {
        **with_logits(np.zeros((12, 3))),
        "features": np.zeros((12, 4)),
        "head_weight": np.zeros((3, 4)),
        "labeled_features": np.zeros((1, 4)),
    },
    "one-hot probabilities": with_logits(1e4 * np.eye(3)[np.arange(12) % 3]),
    "one class for all": with_logits(1e4 * np.eye(3)[np.zeros(12, dtype=int)]),
    "equal scores": with_logits(np.zeros((12, 3))),
    "equal logits that are not zero": with_logits(np.full((12, 3), 5.0)),
    "huge features": replaced(features=1e6 * make_fields()["features"]),
    "candidates at the labelled rows": replaced(labeled_features=make_fields()["features"]),
    "no labelled target row": replaced(labeled_features=np.empty((0, 4))),
    "one source row": replaced(source_features=np.ones((1, 4)), source_domain=np.array([3])),
    "float32": make_fields(dtype=np.float32),
    "non-contiguous": {name: strided(value) for name, value in make_fields().items()},
    "read-only": {name: read_only(value) for name, value in make_fields().items()},
    "column order": {name: np.asfortranarray(value) for name, value in make_fields().items()},
}
all_pools = pytest.mark.parametrize("fields", POOLS.values(), ids=POOLS.keys())


def make_data(n_classes=3):
    rng = np.random.default_rng(1)
    y = np.arange(60) % n_classes
    X = rng.normal(size=(60, 4)) + y[:, None]
    domain = np.repeat([1, 2, -1], [20, 20, 20])
    known = mask_target(y, domain)
    known[40:44] = y[40:44]
    return X, known, domain


@pytest.fixture(autouse=True)
def _train_networks_briefly(monkeypatch):
    from skada_active.deep import TSF, AdaptationClassifier

    def default(strategy, X):
        return AdaptationClassifier(TSF(hidden=(8,)), max_epochs=1, random_state=strategy.random_state)

    monkeypatch.setattr(SAGE, "_default_estimator", default)


@all_strategies
@all_pools
def test_select_returns_min_n_b_distinct_positions(strategy, fields):
    view = PoolView(**fields)
    for n_queries in (0, 1, len(view) // 2, len(view), len(view) + 3):
        positions = strategy.select(view, n_queries, random_state=0)
        assert positions.dtype == np.int64
        assert positions.shape == (min(n_queries, len(view)),)
        assert len(set(positions.tolist())) == len(positions)
        assert set(positions.tolist()) <= set(range(len(view)))


# A gap to source domains needs a source row.
@pytest.mark.parametrize(
    "strategy", [strategy for strategy in STRATEGIES if "source_domain" not in strategy.required_fields()], ids=repr
)
def test_select_needs_no_labelled_row(strategy):
    view = PoolView(**replaced(labeled_features=np.empty((0, 4)), source_features=np.empty((0, 4)), source_domain=None))
    assert len(set(strategy.select(view, 5, random_state=0).tolist())) == 5


@pytest.mark.parametrize("strategy", SCORED, ids=repr)
@all_pools
def test_utilities_are_float64_one_per_candidate_and_never_nan(strategy, fields):
    view = PoolView(**fields)
    utilities = strategy.utilities(view)
    assert utilities.dtype == np.float64
    assert utilities.shape == (len(view),)
    assert not np.isnan(utilities).any()
    assert not np.isposinf(utilities).any()


@all_strategies
@all_pools
def test_select_gives_the_same_answer_twice(strategy, fields):
    view = PoolView(**fields)
    first, second = (strategy.select(view, 5, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@all_strategies
def test_select_writes_to_no_input(strategy):
    fields = make_fields()
    before = {name: value.copy() for name, value in fields.items()}
    strategy.select(PoolView(**fields), 5, random_state=0)
    for name, value in fields.items():
        np.testing.assert_array_equal(value, before[name])


@all_strategies
@pytest.mark.parametrize("kind", ["non-contiguous", "read-only", "column order"])
def test_the_layout_of_memory_changes_nothing(strategy, kind):
    expected = strategy.select(PoolView(**POOLS["typical"]), 6, random_state=0)
    np.testing.assert_array_equal(strategy.select(PoolView(**POOLS[kind]), 6, random_state=0), expected)


@pytest.mark.parametrize("strategy", DETERMINISTIC, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_candidates_changes_no_deterministic_choice(strategy, seed):
    fields = make_fields(seed=seed)
    order = np.random.default_rng(seed).permutation(12)
    expected = strategy.select(PoolView(**fields), 5)
    chosen = order[strategy.select(PoolView(**taken(fields, order)), 5)]
    # Few members have few different vote entropies, and positions break the ties.
    if isinstance(strategy, QueryByCommittee):
        utilities = strategy.utilities(PoolView(**fields))
        np.testing.assert_allclose(utilities[chosen], utilities[expected])
    else:
        np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize("strategy", DETERMINISTIC, ids=repr)
def test_a_deterministic_choice_does_not_depend_on_the_seed(strategy):
    view = PoolView(**make_fields())
    np.testing.assert_array_equal(strategy.select(view, 5, random_state=0), strategy.select(view, 5, random_state=1))


@pytest.mark.parametrize("strategy", RANDOM, ids=repr)
def test_a_random_choice_depends_on_the_seed(strategy):
    view = PoolView(**make_fields(n=60))
    assert len({tuple(strategy.select(view, 8, random_state=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("strategy", RANDOM, ids=repr)
def test_the_global_random_state_is_neither_read_nor_written(strategy):
    view = PoolView(**make_fields())
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    strategy.select(view, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@all_strategies
def test_needs_name_fields_of_the_view_and_required_fields_are_among_them(strategy):
    assert isinstance(type(strategy).needs, frozenset)
    assert strategy.required_fields() <= type(strategy).needs <= set(PoolView.__annotations__)


@all_strategies
def test_only_the_required_fields_are_read(strategy):
    fields = make_fields()
    required = {name: fields[name] for name in strategy.required_fields()}
    view = PoolView(index=np.arange(12), **required)
    expected = strategy.select(PoolView(**fields), 4, random_state=0)
    np.testing.assert_array_equal(strategy.select(view, 4, random_state=0), expected)


@all_strategies
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_fields_that_are_not_finite_are_refused_by_name(strategy, bad):
    fields = make_fields()
    for name in strategy.required_fields() - {"proba", "committee_proba", "source_domain", "target_domain"}:
        spoilt = fields[name].copy()
        spoilt[2, 1] = bad
        with pytest.raises(ValueError, match=rf"^{name} of the pool view holds NaN or infinity.* row 2.*impute X"):
            strategy.select(PoolView(**{**fields, name: spoilt}), 3, random_state=0)


@pytest.mark.parametrize("strategy", [strategy for strategy in STRATEGIES if strategy.required_fields()], ids=repr)
def test_a_missing_field_is_refused_with_a_remedy(strategy):
    with pytest.raises(AttributeError, match="was not filled"):
        strategy.select(PoolView(index=[0, 1]), 1)


@all_strategies
def test_a_strategy_alone_asks_for_unlabelled_target_rows(strategy):
    X, y, domain = make_data()
    fitted = clone(strategy).set_params(random_state=0).fit(X, y, sample_domain=domain)
    ids = fitted.query(5)
    assert ids.dtype == np.int64
    assert set(ids.tolist()) <= set(range(44, 60))
    assert len(set(ids.tolist())) == 5
    np.testing.assert_array_equal(fitted.query(5), ids)


@all_strategies
def test_the_same_seed_gives_the_same_query(strategy):
    X, y, domain = make_data()
    first, second = (clone(strategy).set_params(random_state=7).fit(X, y, domain).query(6) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if getattr(s, "n_candidates", 99) > 16], ids=repr)
def test_a_query_beyond_the_pool_returns_all_of_it_and_warns(strategy):
    X, y, domain = make_data()
    fitted = clone(strategy).fit(X, y, domain)
    with pytest.warns(UserWarning, match="n_queries=99 exceeds the pool of 16"):
        assert sorted(fitted.query(99).tolist()) == list(range(44, 60))


@all_strategies
def test_a_query_for_nothing_returns_nothing(strategy):
    X, y, domain = make_data()
    assert clone(strategy).fit(X, y, domain).query(0).shape == (0,)


@all_strategies
def test_a_pool_without_rows_is_no_error(strategy):
    X, y, domain = make_data()
    fitted = clone(strategy).fit(X, np.where(y == -1, 0, y), domain)
    assert len(fitted.pool_) == 0
    with pytest.warns(UserWarning, match="exceeds the pool of 0"):
        assert fitted.query(1).shape == (0,)


@all_strategies
def test_poisoned_labels_of_the_pool_change_nothing(strategy):
    X, y, domain = make_data()
    roles = resolve_roles(y, domain)
    chosen = []
    for poison in (-1, 0, 2, 10**6):
        labels = np.where(roles.is_labeled, y, poison)
        fresh = clone(strategy).set_params(random_state=0)
        model = fresh.fit_model(X, labels, roles)
        view = fresh.view(model, X, labels, roles, random_state=0)
        chosen.append(view.index[fresh.choose(view, 6, random_state=0)].tolist())
    assert chosen == [chosen[0]] * 4


# Neither linear models nor networks accept NaN.
@pytest.mark.parametrize(
    "strategy",
    [s for s in STRATEGIES if s not in NEED_NETWORK and "head_weight" not in s.required_fields()],
    ids=repr,
)
def test_rows_that_the_model_accepts_with_nan_pass_where_features_are_not_read(strategy):
    X, y, domain = make_data()
    X[::2, 1] = np.nan
    estimator = HistGradientBoostingClassifier(max_iter=2)
    fitted = clone(strategy).set_params(estimator=estimator, random_state=0).fit(X, y, domain)
    if "features" in strategy.required_fields():
        with pytest.raises(ValueError, match="features of the pool view holds NaN"):
            fitted.query(3)
    else:
        assert len(fitted.query(3)) == 3


@all_strategies
def test_return_utilities_gives_those_of_the_chosen(strategy):
    X, y, domain = make_data()
    fitted = clone(strategy).set_params(random_state=0).fit(X, y, domain)
    ids, utilities = fitted.query(4, return_utilities=True)
    assert utilities.shape == (4,)
    if not strategy.has_utilities():
        assert np.isnan(utilities).all()
    else:
        np.testing.assert_array_equal(
            utilities, fitted.utilities(fitted.pool_)[np.searchsorted(fitted.pool_.index, ids)]
        )


@all_strategies
def test_clone_set_params_and_repr_round_trip(strategy):
    copy = clone(strategy)
    assert copy is not strategy
    assert repr(copy) == repr(strategy)
    assert copy.set_params(random_state=3).get_params()["random_state"] == 3
    rebuilt = eval(repr(strategy), vars(skada_active.query))
    assert repr(rebuilt.get_params()) == repr(strategy.get_params())


@all_strategies
def test_estimator_and_random_state_come_last(strategy):
    parameters = inspect.signature(type(strategy)).parameters
    assert list(parameters)[-2:] == ["estimator", "random_state"]
    assert all(parameters[name].default is None for name in ("estimator", "random_state"))


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in NEED_NETWORK], ids=repr)
def test_the_estimator_is_the_model_that_is_read(strategy):
    X, y, domain = make_data()
    estimator = LogisticRegression(C=0.123)
    fitted = clone(strategy).set_params(estimator=estimator).fit(X, y, domain)
    assert fitted.estimator_.C == 0.123
    assert not hasattr(estimator, "coef_")


@parametrize_with_checks(STRATEGIES)
def test_scikit_learn_checks_pass_without_expected_failures(estimator, check):
    check(estimator)


def test_all_names_are_exported():
    assert all(hasattr(skada_active.query, name) for name in skada_active.query.__all__)
    assert sorted(set(skada_active.query.__all__)) == sorted(skada_active.query.__all__)
