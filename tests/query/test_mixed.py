from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GridSearchCV

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.io import load, save
from skada_active.metrics import target_accuracy
from skada_active.model_selection import TargetShuffleSplit
from skada_active.pool import PoolView
from skada_active.query import (
    ADMA,
    BADGE,
    LAS,
    SAGE,
    TQS,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    MarginSampling,
    Mixed,
    Prefilter,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
    Staged,
)
from skada_active.utils.shares import turns_by_share


class ByIndex(QueryStrategy):
    """Ask for the rows of the largest (or smallest) index, and note the positions in the pool that were offered."""

    needs = frozenset({"index"})

    def __init__(self, sign=1, estimator=None, random_state=None):
        super().__init__(estimator=estimator, random_state=random_state)
        self.sign = sign

    def _utilities(self, view):
        return self.sign * view.index.astype(np.float64)


def make_data(n_target=60):
    rng = np.random.default_rng(0)
    y = np.arange(40 + n_target) % 3
    X = rng.normal(size=(len(y), 4)) + y[:, None]
    return X, y, np.repeat([1, -1], [40, n_target])


def make_view(n=30, **fields):
    rng = np.random.default_rng(0)
    return PoolView(
        proba=rng.dirichlet(np.ones(3), size=n),
        features=rng.normal(size=(n, 4)),
        labeled_features=rng.normal(size=(2, 4)),
        **fields,
    )


def fit_loop(strategy, **params):
    X, y, domain = make_data()
    settings = {"budget": 9, "n_rounds": 3, "random_state": 0, **params}
    return ActiveAdaptationLoop(LogisticRegression(), strategy, **settings).fit(X, y, sample_domain=domain)


@pytest.mark.parametrize(("shares", "n_high"), [((1, 1), 5), ((0.7, 0.3), 7), ((8, 2), 8), ((1e-300, 1e300), 0)])
def test_the_rows_of_a_choice_are_shared(shares, n_high):
    parts = [(ByIndex(), shares[0]), (ByIndex(-1), shares[1])]
    chosen = Mixed(parts).select(PoolView(index=np.arange(100)), 10)
    assert sorted(chosen) == [*range(10 - n_high), *range(100 - n_high, 100)]


def test_rows_are_returned_in_the_order_of_the_turns():
    chosen = Mixed([(ByIndex(), 1), (ByIndex(-1), 2)]).select(PoolView(index=np.arange(20)), 6)
    np.testing.assert_array_equal(turns_by_share([1, 2], 6), [1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(chosen, [0, 19, 1, 2, 18, 3])


def test_the_first_part_has_the_first_choice():
    view = make_view()
    by_margin, by_entropy = MarginSampling(), EntropySampling()
    chosen = Mixed([(by_margin, 1), (by_entropy, 1)]).select(view, 8)
    first = by_margin.select(view, 4)
    left = np.setdiff1d(np.arange(30), first)
    np.testing.assert_array_equal(chosen[::2], first)
    np.testing.assert_array_equal(chosen[1::2], left[by_entropy.select(view.take(left), 4)])
    assert len(set(chosen)) == 8


@pytest.mark.parametrize("sizes", [[1] * 12, [3] * 4, [5, 1, 6]])
def test_small_rounds_add_up_to_the_shares(sizes):
    left, chosen = np.arange(60), []
    for size in sizes:
        view = PoolView(index=left, n_initial=60)
        picks = Mixed([(ByIndex(), 3), (ByIndex(-1), 1)]).select(view, size)
        chosen += left[picks].tolist()
        left = np.delete(left, picks)
    assert sorted(chosen) == [0, 1, 2, *range(51, 60)]


def test_a_loop_of_rounds_of_one_row_realises_the_shares():
    loop = fit_loop(Mixed([(ByIndex(), 2), (ByIndex(-1), 1)]), budget=6, n_rounds=6)
    assert sorted(loop.queried_ids_) == [40, 41, 96, 97, 98, 99]


def test_a_part_that_is_alone_is_the_strategy_itself():
    view = make_view()
    for part in (BADGE(), CoreSet(), MarginSampling(), RandomSampling()):
        np.testing.assert_array_equal(
            Mixed([(part, 0.2)]).select(view, 7, random_state=3), part.select(view, 7, random_state=3)
        )
    np.testing.assert_array_equal(fit_loop(Mixed([(BADGE(), 1)])).queried_ids_, fit_loop(BADGE()).queried_ids_)


def test_all_of_the_pool_can_be_chosen():
    assert sorted(Mixed().select(make_view(), 30)) == list(range(30))
    loop = fit_loop(Mixed(), budget=60)
    assert sorted(loop.queried_ids_) == list(range(40, 100))


def test_neighbours_are_those_of_the_whole_pool():
    view = make_view()
    chosen = Mixed([(MarginSampling(), 1), (LAS(oversampling=0), 1)]).select(view, 12)
    first = MarginSampling().select(view, 6)
    scores = LAS(oversampling=0).utilities(view)
    scores[first] = -np.inf
    np.testing.assert_array_equal(chosen[1::2], np.argsort(-scores)[:6])
    left = np.arange(3, 30)
    restricted = Mixed([(MarginSampling(), 1), (LAS(oversampling=0), 1)]).select(view.restrict(left), 12)
    first = left[MarginSampling().select(view.take(left), 6)]
    scores = LAS(oversampling=0).utilities(view)
    scores[[0, 1, 2, *first]] = -np.inf
    np.testing.assert_array_equal(left[restricted[1::2]], np.argsort(-scores)[:6])


def test_what_any_part_reads_is_needed_and_read_once():
    strategy = Mixed([(CoreSet(), 1), (QueryByCommittee(n_members=2), 1), (ADMA(), 2)])
    assert strategy.needs == CoreSet().needs | {"committee_proba"} | ADMA().needs
    assert strategy.fills == {"committee_proba", "inputs", "source_inputs"}
    X, y, domain = make_data()
    fitted = strategy.set_params(random_state=0).fit(X, mask_target(y, domain), domain)
    assert fitted.pool_.committee_proba.shape == (2, 60, 3)
    np.testing.assert_array_equal(fitted.pool_.inputs, X[40:])
    assert len(set(fitted.query(12))) == 12


def test_features_stay_on_a_device_where_all_that_read_them_can_read_them_there():
    assert Mixed([(CoreSet(), 1), (MarginSampling(), 1)]).on_device == {"features"}
    assert Mixed([(CoreSet(), 1), (ADMA(), 1)]).on_device == frozenset()
    assert Mixed([(MarginSampling(), 1)]).on_device == frozenset()


def test_there_are_no_utilities():
    X, y, domain = make_data()
    fitted = Mixed([(MarginSampling(), 1), (EntropySampling(), 1)]).fit(X, mask_target(y, domain), domain)
    assert np.isnan(fitted.query(4, return_utilities=True)[1]).all()
    with pytest.raises(AttributeError, match="Mixed has no utility per candidate"):
        fitted.utilities(fitted.pool_)


def test_a_part_that_is_staged_changes_by_the_round():
    by_round = Staged([(ByIndex(), 1), (ByIndex(-1), None)])
    loop = fit_loop(Mixed([(by_round, 1)]), budget=4, n_rounds=2)
    assert loop.queried_ids_.tolist() == [99, 98, 40, 41]
    assert Mixed([(by_round, 1)]).needs == {"index"}


def test_it_works_behind_a_prefilter():
    loop = fit_loop(Prefilter(Mixed(), n_candidates=20))
    assert len(set(loop.queried_ids_)) == 9


def test_parameters_of_the_parts_have_names_and_can_be_searched():
    strategy = Mixed([(LAS(), 0.5), (Staged([(CoreSet(), 1), (BADGE(), None)]), 0.5)])
    assert {"las__n_neighbors", "staged__badge__first", "staged__stages"} <= strategy.get_params().keys()
    X, y, domain = make_data()
    loop = ActiveAdaptationLoop(LogisticRegression(), strategy, budget=4, n_rounds=2, random_state=0)
    grid = [
        {"strategy__las__n_neighbors": [3], "strategy__staged": [RandomSampling()]},
        {"strategy__parts": [[(MarginSampling(), 1), (BADGE(), 3)]]},
    ]
    search = GridSearchCV(loop, grid, cv=TargetShuffleSplit(1, random_state=0), scoring=target_accuracy, refit=False)
    search.fit(X, y, sample_domain=domain, groups=domain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_loop_and_a_strategy_come_back_from_a_file(tmp_path):
    strategy = Mixed([(CoreSet(), 1), (BADGE(), 0.5)])
    loop = fit_loop(strategy)
    loop.save(tmp_path / "loop.skops")
    assert repr(ActiveAdaptationLoop.load(tmp_path / "loop.skops").strategy) == repr(strategy)
    save(strategy, tmp_path / "strategy.skops")
    assert repr(load(tmp_path / "strategy.skops")) == repr(strategy)


def test_the_seed_is_that_of_all_parts_without_one_of_their_own():
    view = make_view()
    parts = [(RandomSampling(), 1), (KMeansSampling(), 1)]
    chosen = [Mixed(parts, random_state=seed).select(view, 8).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    own = Mixed([(RandomSampling(random_state=2), 1)])
    np.testing.assert_array_equal(own.select(view, 4, random_state=0), own.select(view, 4, random_state=1))


def test_the_default_model_supplies_what_all_parts_read():
    pytest.importorskip("skada_active.deep")
    model = Mixed([(CoreSet(), 1), (SAGE(), 1), (TQS(), 1)])._default_estimator(np.zeros((2, 3)))
    assert "TSF" in repr(model.objective)
    assert model.n_heads == TQS()._n_heads


def test_a_part_that_cannot_read_the_model_is_refused_before_any_training():
    X, y, domain = make_data()
    with pytest.raises(ValueError, match="cannot supply 'class_domain_grad'"):
        ActiveAdaptationLoop(Perceptron(), Mixed([(CoreSet(), 1), (SAGE(), 1)])).fit(X, y, sample_domain=domain)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([(QueryByCommittee(), 1), (LAS(by=QueryByCommittee("kl")), 1)], "fills 'committee_proba' by itself, and LAS"),
        ([(Staged([(CoreSet(), 1), (QueryByCommittee(), 1)]), 1), (QueryByCommittee(), 1)], "keep one of them"),
        ([(Prefilter(QueryByCommittee()), 1), (CoreSet(), 1)], "rows of its own choice; put Mixed into it"),
    ],
)
def test_two_committees_are_refused_before_any_training(parts, message):
    with pytest.raises(ValueError, match=message):
        fit_loop(Mixed(parts))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "parts is empty"),
        (
            [CoreSet(), BADGE()],
            r"parts must hold pairs \(strategy, share\), such as .*CoreSet\(\), 0.5.*got CoreSet",
        ),
        ([(0.5, CoreSet())], "parts must hold pairs"),
        ([(CoreSet(), 0), (BADGE(), 1)], "share of part 1 must be a finite number above 0, got 0; leave out"),
        ([(CoreSet(), 1), (BADGE(), -0.5)], "share of part 2 must be .* got -0.5"),
        ([(CoreSet(), np.nan)], "share of part 1 must be .* got nan"),
        ([(CoreSet(), np.inf)], "share of part 1 must be .* got inf"),
        ([(CoreSet(), None)], "share of part 1 must be .* got None"),
        ([(CoreSet(), True)], "share of part 1 must be .* got True"),
        ([(CoreSet(estimator=Perceptron()), 1)], "an estimator of its own.*give it to Mixed"),
        ({"coreset": 1}, "'parts' parameter of Mixed must be"),
    ],
)
def test_bad_parts_are_refused_by_name(parts, message):
    strategy = Mixed(parts)
    assert repr(clone(strategy)) == repr(strategy)
    for use in (lambda: strategy.select(make_view(), 1), lambda: fit_loop(strategy)):
        with pytest.raises(ValueError, match=message):
            use()
