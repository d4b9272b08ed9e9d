"""What every query strategy has to do, whatever the data: the public checks, and some more of the package's own."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import skada_active.query
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.pool.fields import FIELDS
from skada_active.query import (
    AADA,
    ADMA,
    BADGE,
    CDAL,
    CLUE,
    D3GU,
    DUC,
    EADA,
    GALA,
    LAMDA,
    LAS,
    LFTL,
    MHPL,
    S3VAADA,
    SAGE,
    SDM,
    TQS,
    VAAL,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    Mixed,
    PowerSampling,
    Prefilter,
    ProbCover,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
    Staged,
    TypiClust,
)
from skada_active.testing import check_strategy
from skada_active.testing._views import difficult_fields, make_fields

# Defaults that would train for long.
BRIEF = {"VAAL": {"max_epochs": 2}}
EXPORTED = [
    strategy(**BRIEF.get(name, {}))
    for name in skada_active.query.__all__
    if isinstance(strategy := getattr(skada_active.query, name), type)
    if issubclass(strategy, QueryStrategy) and strategy is not QueryStrategy
]
DETERMINISTIC = [
    EntropySampling(),
    LeastConfidenceSampling(),
    MarginSampling(),
    CoreSet(),
    CoreSet(initial_centers="labeled"),
    CoreSet(initial_centers=None),
    QueryByCommittee(n_members=2),
    QueryByCommittee(disagreement="kl", n_members=2, n_jobs=2),
    SDM(),
    SDM(gradient_weight=0),
    SDM(query_loss="margin", gradient_weight=1.0),
    SDM(jacobian="official", gradient_weight=1.0),
    SDM(dynamic=True, normalize_logits=False, reduction="sum", gradient_weight=1.0),
    LAS(oversampling=0),
    LAS(oversampling=0, by=MarginSampling()),
    S3VAADA(alpha=0.0, beta=0.1),
    LAMDA(),
    LAMDA(gamma=0.5, pseudo_label_threshold=None),
    LAMDA(pseudo_label_threshold=0.1),
    GALA(mode="local"),
    GALA(mode="local", source_aggregation="min", gap="gaussian_w2", target_budget="need", outlier_neighbors=2),
    SAGE(),
    SAGE(projection=None),
    SAGE(diversity=None),
    AADA(),
    EADA(),
    EADA(first_stage=0.2, beta=2.0),
    DUC(first_stage=1.5),
    MHPL(),
    MHPL(n_neighbors=3),
    CDAL(),
    LFTL(),
    LFTL(contrast=0.5, class_weight=0, n_confident=3),
    TQS(),
    TQS(domainness="gaussian", mean=0.5, std=0.2, n_members=2),
    TQS(domainness=None, n_members=2),
    D3GU(diversity=None),
    ADMA(full_doubt_share=0.5),
    VAAL(max_epochs=2),
    Prefilter(CoreSet()),
    Prefilter(SDM(), EntropySampling(), n_candidates=7),
    Prefilter(LAS(oversampling=0), QueryByCommittee("kl", n_members=2), n_candidates=6),
    Staged([(EntropySampling(), 2), (BADGE(), None)]),
    Mixed([(QueryByCommittee("kl", n_members=2), 1), (Mixed([(CoreSet(), 2), (EntropySampling(), 1)]), 2)]),
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
    D3GU(),
    D3GU(weight_power=1, n_init=2),
    S3VAADA(max_pool=10),
    LAS(),
    LAS(by=QueryByCommittee("kl", n_members=2)),
    LAS(n_neighbors=3, oversampling=2.5, smoothing_coef="1/K", smoothing_iter=2, n_init=2),
    GALA(),
    GALA(mode="global"),
    GALA(alpha=0.2, source_aggregation="max", gap="gaussian_w2", target_budget="need", outlier_neighbors=3, n_init=2),
    GALA(embedding="reduced", target_budget="proportional"),
    SAGE(diversity="kmeans++"),
    AADA(top_fraction=0.5),
    PowerSampling(),
    PowerSampling(EntropySampling(), power=3.0),
    PowerSampling(QueryByCommittee("kl", n_members=2), power=0.0),
    TypiClust(n_neighbors=3, n_init=2, normalize=True),
    TypiClust(max_clusters=2),
    TQS(domainness=None, window=0.5, n_members=2),
    TQS(domainness=None, window="auto", n_members=2),
    Prefilter(),
    ProbCover(delta=1.5),
    ProbCover(delta=0.5, normalize=True),
    ProbCover(purity=0.6, n_clusters=4, n_init=2),
    Prefilter(by=RandomSampling(), n_candidates=6),
    Prefilter(QueryByCommittee(n_members=2), RandomSampling(), n_candidates=9),
    Mixed([(MarginSampling(), 0.8), (RandomSampling(), 0.2)]),
]
# A class that is exported and stands in no list is checked with its defaults.
STRATEGIES = list({repr(strategy): strategy for strategy in [*EXPORTED, *DETERMINISTIC, *RANDOM]}.values())
# These read what only a network supplies.
NEED_NETWORK = [strategy for strategy in STRATEGIES if any(FIELDS[name].objective for name in strategy.needs)]
all_strategies = pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
TYPICAL = make_fields()
ONE_CLASS = {
    "one class": make_fields(n_classes=1),
    "one candidate and one class": make_fields(1, n_classes=1),
}


def is_untied(strategy, view):
    """Tell whether no two candidates have one utility, as votes of a few members have."""
    return not strategy.has_utilities() or len(np.unique(strategy.utilities(view))) == len(view)


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
    default = QueryStrategy._default_estimator

    def brief(strategy, X):
        estimator = default(strategy, X)
        return estimator.set_params(max_epochs=1) if "max_epochs" in estimator.get_params() else estimator

    monkeypatch.setattr(QueryStrategy, "_default_estimator", brief)


@all_strategies
def test_the_contract_holds(strategy):
    check_strategy(strategy)


@parametrize_with_checks(EXPORTED)  # they look at classes; their configurations keep the contract above
def test_scikit_learn_checks_pass_without_expected_failures(estimator, check):
    check(estimator)


@all_strategies
@pytest.mark.parametrize("fields", ONE_CLASS.values(), ids=ONE_CLASS.keys())
def test_a_model_of_one_class_is_no_error(strategy, fields):
    view = PoolView(**fields)
    for n_queries in (1, len(view)):
        assert len(set(strategy.select(view, n_queries, random_state=0).tolist())) == n_queries


# A gap to source domains needs a source row, and so do landmarks of its classes.
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if not {"source_domain", "source_y"} & s.needs], ids=repr)
def test_select_needs_no_labelled_row(strategy):
    fields = {name: value for name, value in TYPICAL.items() if FIELDS[name].source not in ("labeled", "source")}
    view = PoolView(**fields, source_features=np.empty((0, 4)))
    assert len(set(strategy.select(view, 5, random_state=0).tolist())) == 5


@all_strategies
@pytest.mark.parametrize("kind", ["memory that is not contiguous", "memory in column order"])
def test_the_layout_of_memory_changes_nothing(strategy, kind):
    expected = strategy.select(PoolView(**TYPICAL), 6, random_state=0)
    np.testing.assert_array_equal(strategy.select(PoolView(**difficult_fields()[kind]), 6, random_state=0), expected)


@pytest.mark.parametrize("strategy", DETERMINISTIC, ids=repr)
def test_a_deterministic_choice_does_not_depend_on_the_seed(strategy):
    view = PoolView(**TYPICAL)
    chosen, others = (strategy.select(view, 5, random_state=seed) for seed in (0, 1))
    if is_untied(strategy, view):
        np.testing.assert_array_equal(chosen, others)
    np.testing.assert_array_equal(strategy.select(view, 5), strategy.select(view, 5))
    utilities = strategy.utilities(view) if strategy.has_utilities() else np.arange(len(view))
    np.testing.assert_array_equal(np.sort(utilities[chosen]), np.sort(utilities[others]))


@pytest.mark.parametrize("strategy", RANDOM, ids=repr)
def test_a_random_choice_depends_on_the_seed(strategy):
    view = PoolView(**make_fields(n=60))
    assert len({tuple(strategy.select(view, 8, random_state=seed)) for seed in range(8)}) > 1


@all_strategies
def test_fields_that_are_not_needed_change_nothing(strategy):
    view = PoolView(index=np.arange(12), **{name: TYPICAL[name] for name in strategy.needs})
    others = {name: value for name, value in TYPICAL.items() if name not in _alternatives(strategy)}
    expected = strategy.select(PoolView(**others), 4, random_state=0)
    np.testing.assert_array_equal(strategy.select(view, 4, random_state=0), expected)


def _alternatives(strategy):
    return {FIELDS[name].alternative for name in strategy.needs}


@all_strategies
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_fields_that_are_not_finite_are_refused_by_name(strategy, bad):
    fields = {name: value for name, value in TYPICAL.items() if name not in _alternatives(strategy)}
    names = [name for name in strategy.needs if not (FIELDS[name].integer or FIELDS[name].is_probability)]
    for name in names:
        spoilt = fields[name].copy()
        spoilt[(2, 1)[: spoilt.ndim]] = bad
        with pytest.raises(ValueError, match=rf"^{name} of the pool view holds NaN or infinity.* row 2.*impute X"):
            strategy.select(PoolView(**{**fields, name: spoilt}), 3, random_state=0)


@pytest.mark.parametrize("strategy", [strategy for strategy in STRATEGIES if strategy.needs], ids=repr)
def test_a_missing_field_is_refused_with_a_remedy(strategy):
    with pytest.raises(AttributeError, match="was not filled"):
        strategy.select(PoolView(index=[0, 1]), 1)


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
def test_a_query_in_a_pool_without_rows_warns(strategy):
    X, y, domain = make_data()
    fitted = clone(strategy).fit(X, np.where(y == -1, 0, y), domain)
    assert len(fitted.pool_) == 0
    with pytest.warns(UserWarning, match="exceeds the pool of 0"):
        assert fitted.query(1).shape == (0,)


# Neither linear models nor networks accept NaN.
@pytest.mark.parametrize(
    "strategy",
    [s for s in STRATEGIES if s not in NEED_NETWORK and not {"logits", "head_weight", "head_bias"} & s.needs],
    ids=repr,
)
def test_rows_that_the_model_accepts_with_nan_pass_where_features_are_not_read(strategy):
    X, y, domain = make_data()
    X[::2, 1] = np.nan
    estimator = HistGradientBoostingClassifier(max_iter=2)
    fitted = clone(strategy).set_params(estimator=estimator, random_state=0).fit(X, y, domain)
    if "features" in strategy.needs:
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
def test_repr_is_the_code_that_makes_the_strategy(strategy):
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


def test_all_names_are_exported():
    assert all(hasattr(skada_active.query, name) for name in skada_active.query.__all__)
    assert sorted(set(skada_active.query.__all__)) == sorted(skada_active.query.__all__)
