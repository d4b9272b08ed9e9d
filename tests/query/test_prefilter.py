from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    GALA,
    LAS,
    SAGE,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    MarginSampling,
    Prefilter,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
)

INNER = [BADGE(), CoreSet(), KMeansSampling(), LAS(n_neighbors=3), RandomSampling(), EntropySampling()]


def make_view(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return PoolView(
        proba=rng.dirichlet(np.ones(3), size=n),
        features=rng.normal(size=(n, 4)),
        labeled_features=rng.normal(size=(2, 4)),
        index=100 + np.arange(n),
    )


def make_data(n_target=60):
    rng = np.random.default_rng(0)
    y = np.arange(40 + n_target) % 3
    X = rng.normal(size=(len(y), 4)) + y[:, None]
    return X, y, np.repeat([1, -1], [40, n_target])


class Model(LogisticRegression):
    """Count the fits, and how many rows were read for what."""

    fits = 0
    calls: list = []  # noqa: RUF012
    pool_supplies = frozenset({"proba", "logits", "head_weight", "head_bias"})

    def fit(self, X, y):
        type(self).fits += 1
        return super().fit(X, y)

    def pool_outputs(self, X, names):
        self.calls.append((len(X), set(names)))
        return {name: X if name == "features" else self.predict_proba(X) for name in names}


@pytest.fixture
def model():
    Model.fits, Model.calls = 0, []
    return Model()


@pytest.mark.parametrize("strategy", INNER, ids=repr)
def test_the_strategy_chooses_among_the_rows_that_the_score_likes_best(strategy):
    view = make_view()
    best = np.sort(MarginSampling().select(view, 20))
    expected = best[strategy.select(view.take(best), 6, random_state=3)]
    chosen = Prefilter(strategy, n_candidates=20).select(view, 6, random_state=3)
    np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize("strategy", INNER, ids=repr)
@pytest.mark.parametrize("n_candidates", [60, 10_000])
def test_a_pool_that_is_small_enough_is_the_strategy_s_own(strategy, n_candidates):
    view = make_view().take(np.arange(60)[::-1])
    both = Prefilter(strategy, n_candidates=n_candidates)
    np.testing.assert_array_equal(both.select(view, 9, random_state=1), strategy.select(view, 9, random_state=1))
    X, y, domain = make_data()
    known = mask_target(y, domain)
    alone = clone(strategy).set_params(random_state=5).fit(X, known, domain)
    both = clone(both).set_params(random_state=5).fit(X, known, domain)
    assert set(vars(both.pool_)) == set(vars(alone.pool_))
    np.testing.assert_array_equal(both.query(9), alone.query(9))


def test_ties_of_the_strategy_fall_to_the_first_row_of_the_pool():
    class Level(QueryStrategy):
        def _utilities(self, view):
            return np.zeros(len(view))

    view = PoolView(proba=[[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.5, 0.5]])
    assert Prefilter(Level(), n_candidates=3).select(view, 2).tolist() == [1, 2]


@pytest.mark.parametrize("n_queries", [0, 1, 5, 6, 59, 60, 61])
@pytest.mark.parametrize("by", [None, RandomSampling(), CoreSet()], ids=repr)
def test_as_many_distinct_rows_as_asked_for_also_beyond_the_short_list(n_queries, by):
    chosen = Prefilter(by=by, n_candidates=5).select(make_view(), n_queries, random_state=0)
    assert len(set(chosen.tolist())) == len(chosen) == min(n_queries, 60)


def test_uniform_subsampling_depends_on_the_seed_alone():
    view, both = make_view(), Prefilter(EntropySampling(), RandomSampling(), n_candidates=5)
    chosen = {seed: tuple(both.select(view, 3, random_state=seed)) for seed in range(8)}
    assert len(set(chosen.values())) > 1
    assert all(tuple(both.select(view, 3, random_state=seed)) == rows for seed, rows in chosen.items())
    seeded = clone(both).set_params(random_state=2)
    np.testing.assert_array_equal(seeded.select(view, 3), chosen[2])


@pytest.mark.parametrize(
    "both", [Prefilter(EntropySampling(), RandomSampling(), n_candidates=5), Prefilter(RandomSampling())]
)
def test_a_random_state_instance_is_drawn_from_by_every_choice(both):
    shared = np.random.RandomState(0)
    assert len({tuple(both.select(make_view(), 3, random_state=shared)) for _ in range(8)}) > 1


def test_an_integer_seed_of_a_part_wins_for_that_part():
    view = make_view()
    both = Prefilter(RandomSampling(random_state=0), RandomSampling(random_state=1), n_candidates=9)
    first, second = (both.choose(view, 5, random_state=seed)[0].tolist() for seed in (3, 4))
    assert first == second


def test_utilities_are_those_of_the_strategy_on_the_short_list():
    view = make_view()
    best = np.sort(MarginSampling().select(view, 20))
    utilities = Prefilter(LAS(n_neighbors=3), n_candidates=20).utilities(view)
    np.testing.assert_array_equal(utilities[best], LAS(n_neighbors=3).utilities(view.take(best)))
    assert np.isneginf(np.delete(utilities, best)).all()


def test_a_strategy_without_utilities_has_none_here_either():
    X, y, domain = make_data()
    both = Prefilter(CoreSet(), n_candidates=20)
    with pytest.raises(AttributeError, match="CoreSet has no utility per candidate"):
        both.utilities(make_view())
    assert np.isnan(both.fit(X, mask_target(y, domain), domain).query(3, return_utilities=True)[1]).all()
    assert not Prefilter(both).has_utilities()
    assert Prefilter(Prefilter()).has_utilities()


@pytest.mark.parametrize("bad", [3, 40])
def test_a_view_with_features_that_are_not_finite_is_refused_by_its_own_row(bad):
    view = make_view()
    features = view.features.copy()
    features[bad] = np.nan
    spoilt = PoolView(proba=view.proba, features=features)
    with pytest.raises(ValueError, match=f"features of the pool view holds NaN or infinity, first in its row {bad},"):
        Prefilter(n_candidates=5).select(spoilt, 2)


def test_the_model_is_fitted_once_and_read_twice(model):
    X, y, domain = make_data()
    both = Prefilter(n_candidates=20, estimator=model, random_state=0).fit(X, mask_target(y, domain), domain)
    assert Model.fits == 1
    assert Model.calls == [(60, {"proba"}), (20, {"proba", "features"})]
    assert set(both.query(5)) <= set(both.pool_.index)
    assert len(Model.calls) == 2


def test_the_view_holds_the_rows_on_the_short_list_alone(model):
    X, y, domain = make_data()
    roles = resolve_roles(mask_target(y, domain), domain).reveal([47]).exclude([45])
    model.fit(X[:40], y[:40])
    view = Prefilter(CoreSet(), n_candidates=20).view(model, X, y, roles)
    pool = MarginSampling().view(model, X, y, roles)
    assert set(vars(view)) == {"index", "n_initial", "features", "labeled_features"}
    np.testing.assert_array_equal(view.index, pool.index[np.sort(MarginSampling().select(pool, 20))])
    np.testing.assert_array_equal(view.features, X[view.index])
    np.testing.assert_array_equal(view.labeled_features, X[[47]])
    assert view.n_initial == 58
    assert Prefilter(n_candidates=20).view(model, X, y, roles, n_initial=70).n_initial == 70


def test_features_of_the_whole_pool_are_never_held(monkeypatch):
    monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_BLOCK_BYTES", 2**18)
    monkeypatch.setattr(sys.modules["skada_active.pool.snapshot"], "_MIN_ROWS", 64)
    X = np.random.default_rng(0).normal(size=(20_000, 128))
    y, domain = np.full(20_000, -1), np.full(20_000, -1)
    y[:40], domain[:40] = np.arange(40) % 3, 1
    roles = resolve_roles(y, domain)
    model = LogisticRegression().fit(X[:40], y[:40])
    tracemalloc.start()
    view = Prefilter(n_candidates=500).view(model, X, y, roles, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(view) == 500
    assert peak < X.nbytes / 8


@pytest.mark.parametrize("strategy", [LAS(), QueryByCommittee(n_members=2)], ids=repr)
@pytest.mark.parametrize("by", [EntropySampling(), QueryByCommittee(n_members=3)], ids=repr)
def test_committees_are_formed_where_they_are_read(strategy, by, model):
    X, y, domain = make_data()
    both = Prefilter(strategy, by, n_candidates=20, estimator=model, random_state=0)
    both.fit(X, mask_target(y, domain), domain)
    sizes = [part.n_members if isinstance(part, QueryByCommittee) else 0 for part in (strategy, by)]
    assert Model.fits == 1 + sum(sizes)
    assert len(both.pool_) == 20
    if sizes[0]:
        assert both.pool_.committee_proba.shape == (2, 20, 3)
    assert len(set(both.query(5))) == 5


def test_gala_keeps_all_source_rows():
    X, y, domain = make_data()
    both = Prefilter(GALA(), n_candidates=20, random_state=0).fit(X, mask_target(y, domain), domain)
    assert both.pool_.source_features.shape == (40, 4)
    assert len(both.query(5)) == 5


def test_the_parameters_of_a_discriminator_are_read_as_by_sage_alone():
    deep = pytest.importorskip("skada_active.deep")
    X, y, domain = make_data()
    network = deep.AdaptationClassifier(deep.TSF(hidden=(8,)), max_epochs=1, random_state=0)
    both = Prefilter(SAGE(), n_candidates=20, estimator=network).fit(X, mask_target(y, domain), domain)
    assert set(vars(both.pool_)) >= {"class_discriminator", "features", "proba"}
    assert "class_domain_grad" not in vars(both.pool_)
    assert set(both.query(5)) <= set(both.pool_.index)


def test_fields_are_those_of_both_parts():
    both = Prefilter(CoreSet(), QueryByCommittee())
    assert both.needs == {"features", "labeled_features", "committee_proba"}
    assert both.needs - both.fills == {"features", "labeled_features"}


def test_the_default_estimator_supplies_what_both_parts_read():
    pytest.importorskip("skada_active.deep")
    X = np.zeros((2, 3))
    assert isinstance(Prefilter()._default_estimator(X)[-1], LogisticRegression)
    for both in (Prefilter(SAGE()), Prefilter(RandomSampling(), SAGE())):
        assert repr(both._default_estimator(X).objective) == "TSF()"
    assert Prefilter(random_state=4)._default_estimator(np.zeros((2, 1, 8, 8))).random_state == 4


def test_where_nothing_is_read_nothing_is_trained():
    X, y, domain = make_data()
    X[3] = np.nan
    both = Prefilter(RandomSampling(), RandomSampling(), n_candidates=20).fit(X, mask_target(y, domain), domain)
    assert both.estimator_ is None
    assert len(both.pool_) == 20
    assert both.__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize("name", ["strategy", "by"])
def test_a_part_with_an_estimator_of_its_own_is_refused_before_any_training(name, model):
    X, y, domain = make_data()
    with pytest.raises(ValueError, match=rf"{name}=MarginSampling.*estimator of its own.*Prefilter\(estimator="):
        Prefilter(**{name: MarginSampling(estimator=Perceptron())}, estimator=model).fit(X, y, domain)
    assert Model.fits == 0


@pytest.mark.parametrize("parts", [(SAGE(), None), (None, SAGE())])
def test_an_unmet_need_of_either_part_is_refused_before_any_training(parts, model):
    X, y, domain = make_data()
    with pytest.raises(ValueError, match="cannot supply 'class_domain_grad'"):
        Prefilter(*parts, estimator=model).fit(X, y, domain)
    assert Model.fits == 0


@pytest.mark.parametrize("parameters", [{"n_candidates": 0}, {"n_candidates": 2.5}, {"by": "margin"}, {"strategy": 3}])
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of Prefilter must be"):
        Prefilter(**parameters).select(make_view(), 1)


def test_parameters_of_the_parts_can_be_searched():
    both = Prefilter(LAS(), EntropySampling()).set_params(strategy__n_neighbors=4, by__random_state=2)
    assert (both.strategy.n_neighbors, both.by.random_state) == (4, 2)
    loop = ActiveAdaptationLoop(strategy=both)
    assert loop.get_params()["strategy__strategy__n_neighbors"] == 4


def test_a_query_beyond_the_short_list_is_refused():
    X, y, domain = make_data()
    both = Prefilter(n_candidates=20).fit(X, mask_target(y, domain), domain)
    assert len(both.query(20)) == 20
    with pytest.raises(
        ValueError, match="n_queries=21 exceeds the n_candidates=20 rows on the short list of a pool of 60"
    ):
        both.query(21)


def test_a_prefilter_of_a_prefilter():
    inner = Prefilter(CoreSet(), EntropySampling(), n_candidates=10)
    view = make_view()
    best = np.sort(MarginSampling().select(view, 30))
    expected = best[inner.select(view.take(best), 4)]
    np.testing.assert_array_equal(Prefilter(inner, n_candidates=30).select(view, 4), expected)
    X, y, domain = make_data()
    fitted = Prefilter(inner, n_candidates=30).fit(X, mask_target(y, domain), domain)
    assert len(fitted.pool_) == 10
    assert fitted.pool_.n_initial == 60


def fit_loop(strategy, **params):
    X, y, domain = make_data()
    loop = ActiveAdaptationLoop(LogisticRegression(), strategy, **{"n_rounds": 2, "random_state": 0, **params})
    return loop.fit(X, y, sample_domain=domain)


@pytest.mark.parametrize("strategy", [BADGE(), LAS(oversampling=1.0), QueryByCommittee(n_members=2)], ids=repr)
@pytest.mark.parametrize("by", [None, RandomSampling(), QueryByCommittee(n_members=2)], ids=repr)
def test_a_loop_spends_its_budget_and_repeats_itself(strategy, by):
    loops = [fit_loop(Prefilter(strategy, by, n_candidates=15), budget=20) for _ in range(2)]
    assert len(set(loops[0].queried_ids_)) == 20
    np.testing.assert_array_equal(loops[0].queried_ids_, loops[1].queried_ids_)
    assert np.isfinite(loops[0].history_[0]["utilities"]).all()


@pytest.mark.parametrize("budget", [37, 60, 99])
def test_a_round_may_buy_more_than_the_short_list_holds(budget):
    loop = fit_loop(Prefilter(n_candidates=8), budget=budget, n_rounds=1)
    assert len(set(loop.queried_ids_)) == min(budget, 60)
    assert len(loop.history_) == 1


def test_a_pool_that_shrinks_below_the_short_list_is_the_strategy_s_own():
    loop = fit_loop(Prefilter(n_candidates=20), budget=60, n_rounds=6)
    assert sorted(loop.queried_ids_) == list(range(40, 100))
    alone, both = (fit_loop(strategy, budget=20) for strategy in (BADGE(), Prefilter(n_candidates=60)))
    np.testing.assert_array_equal(both.queried_ids_, alone.queried_ids_)


def test_an_estimator_of_the_prefilter_is_read_in_a_loop():
    X, y, _ = make_data()
    frozen = FrozenEstimator(LogisticRegression().fit(X[:40, :4], y[:40]))
    loop = fit_loop(Prefilter(EntropySampling(), n_candidates=20, estimator=frozen), budget=6, n_rounds=1)
    proba = frozen.predict_proba(X[40:])
    best = np.sort(MarginSampling().select(PoolView(proba=proba), 20))
    expected = 40 + best[EntropySampling().select(PoolView(proba=proba[best]), 6)]
    np.testing.assert_array_equal(loop.queried_ids_, expected)
