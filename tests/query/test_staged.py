from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GridSearchCV

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target, resolve_roles
from skada_active.io import load, save
from skada_active.io.parameters import describe_parameters
from skada_active.metrics import target_accuracy
from skada_active.model_selection import TargetShuffleSplit
from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    LAS,
    SAGE,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidenceSampling,
    MarginSampling,
    Mixed,
    Prefilter,
    QueryByCommittee,
    RandomSampling,
    Staged,
)
from skada_active.utils.fitting import fit_estimator

THREE = Staged([(CoreSet(), 2), (BADGE(), 1), (EntropySampling(), None)])


def make_data(n_target=60):
    rng = np.random.default_rng(0)
    y = np.arange(40 + n_target) % 3
    X = rng.normal(size=(len(y), 4)) + y[:, None]
    return X, y, np.repeat([1, -1], [40, n_target])


def make_view(n=30):
    rng = np.random.default_rng(0)
    return PoolView(
        proba=rng.dirichlet(np.ones(3), size=n),
        features=rng.normal(size=(n, 4)),
        labeled_features=rng.normal(size=(2, 4)),
    )


def fit_loop(strategy, **params):
    X, y, domain = make_data()
    settings = {"budget": [3, 3, 3], "random_state": 0, **params}
    return ActiveAdaptationLoop(LogisticRegression(), strategy, **settings).fit(X, y, sample_domain=domain)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([(CoreSet(), 2), (BADGE(), 1), (EntropySampling(), None)], "CCBEEE"),
        ([(CoreSet(), 2), (BADGE(), 1), (EntropySampling(), 1)], "CCBEEE"),
        (((CoreSet(), np.int64(1)), (BADGE(), 3)), "CBBBBB"),
        ([(CoreSet(), None)], "CCCCCC"),
        (None, "CMMMMM"),
    ],
)
def test_each_stage_lasts_its_rounds_and_the_last_one_all_later_ones(stages, expected):
    rounds = [Staged(stages).in_round(number) for number in range(1, 7)]
    assert "".join(type(strategy).__name__[0] for strategy in rounds) == expected
    assert type(Staged(stages).in_round(10**9)) is type(rounds[-1])


def test_a_stage_that_is_staged_counts_its_rounds_from_its_beginning():
    inner = Staged([(CoreSet(), 1), (BADGE(), None)])
    outer = Staged([(EntropySampling(), 2), (inner, None)])
    assert [type(outer.in_round(n)).__name__[0] for n in range(1, 6)] == list("EECBB")
    mixed = Staged([(EntropySampling(), 2), (Mixed([(inner, 1), (RandomSampling(), 1)]), None)])
    assert [type(mixed.in_round(n).strategies[0]).__name__[0] for n in (3, 4)] == ["C", "B"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_part_that_is_staged_goes_by_the_round_too(number):
    part = Staged([(EntropySampling(), 1), (LeastConfidenceSampling(), None)])
    now = part.in_round(number)
    assert repr(Prefilter(CoreSet(), part).in_round(number)) == repr(Prefilter(CoreSet(), now))
    assert repr(LAS(by=part).in_round(number)) == repr(LAS(by=now))
    assert repr(Mixed([(part, 1), (CoreSet(), 2)]).in_round(number)) == repr(Mixed([(now, 1), (CoreSet(), 2)]))


@pytest.mark.parametrize("strategy", [BADGE(), LAS(), Prefilter(), Mixed(), QueryByCommittee()], ids=repr)
def test_a_strategy_that_does_not_go_by_rounds_is_itself_in_every_round(strategy):
    assert strategy.in_round(1) is strategy.in_round(7) is strategy


def test_only_what_the_running_stage_needs_is_read():
    class Model(LogisticRegression):
        pool_supplies = frozenset({"proba"})
        read: list = []  # noqa: RUF012

        def pool_outputs(self, X, names):
            self.read.append(set(names))
            return {name: X if name == "features" else self.predict_proba(X) for name in names}

    X, y, domain = make_data()
    strategy = Staged([(RandomSampling(), 1), (KMeansSampling(), 1), (MarginSampling(), None)])
    ActiveAdaptationLoop(Model(), strategy, budget=9, n_rounds=3, random_state=0).fit(X, y, sample_domain=domain)
    assert [names for names in Model.read if names] == [{"features"}, {"proba"}]
    assert [sorted(strategy.in_round(number).needs) for number in (1, 2, 3)] == [[], ["features"], ["proba"]]


@pytest.mark.parametrize(
    "stage", [BADGE(), MarginSampling(), KMeansSampling(), QueryByCommittee(n_members=2)], ids=repr
)
def test_a_single_stage_is_the_strategy_itself(stage):
    np.testing.assert_array_equal(fit_loop(Staged([(stage, 2)])).queried_ids_, fit_loop(stage).queried_ids_)
    X, y, domain = make_data()
    known = mask_target(y, domain)
    alone, staged = (
        strategy.set_params(random_state=4).fit(X, known, domain) for strategy in (clone(stage), Staged([(stage, 1)]))
    )
    for found, expected in zip(
        staged.query(5, return_utilities=True), alone.query(5, return_utilities=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_every_round_of_a_loop_asks_by_its_stage():
    X, y, domain = make_data()
    loop = fit_loop(Staged([(CoreSet(), 1), (EntropySampling(), None)]))
    asked = [entry["ids"] for entry in loop.history_]
    assert [np.isfinite(entry["utilities"]).all() for entry in loop.history_] == [False, True, True]
    np.testing.assert_array_equal(asked[0], fit_loop(CoreSet()).history_[0]["ids"])
    roles = resolve_roles(mask_target(y, domain), domain).reveal(asked[0])
    model = fit_estimator(LogisticRegression(), X, y, roles, "balanced")
    view = EntropySampling().view(model, X, y, roles)
    np.testing.assert_array_equal(asked[1], view.index[EntropySampling().select(view, 3)])


def test_a_session_that_goes_on_after_its_process_ended_is_in_the_same_round(tmp_path):
    X, y, domain = make_data()
    known = mask_target(y, domain)
    expected = fit_loop(THREE).queried_ids_
    for _ in range(3):
        loop = ActiveAdaptationLoop(LogisticRegression(), THREE, budget=[3, 3, 3], random_state=0)
        with loop.session(X, known, sample_domain=domain, journal=tmp_path / "labels.db") as session:
            ids = session.ask()
            session.tell(ids, y[ids])
            bought = session.queried_ids_
    np.testing.assert_array_equal(bought, expected)
    other = clone(loop).set_params(strategy__stages=[(CoreSet(), 1), (EntropySampling(), None)])
    with pytest.raises(ValueError, match=r"strategy__stages was .*CoreSet, 2.* is .*CoreSet, 1"):
        other.session(X, known, sample_domain=domain, journal=tmp_path / "labels.db")


def test_a_loop_and_a_strategy_come_back_from_a_file(tmp_path):
    loop = fit_loop(THREE)
    loop.save(tmp_path / "loop.skops")
    back = ActiveAdaptationLoop.load(tmp_path / "loop.skops")
    assert repr(back.strategy) == repr(THREE)
    np.testing.assert_array_equal(back.resume(budget=3).queried_ids_, loop.resume(budget=3).queried_ids_)
    save(THREE, tmp_path / "strategy.skops")
    assert repr(load(tmp_path / "strategy.skops")) == repr(THREE)


def test_parameters_of_the_stages_have_names():
    strategy = Staged([(CoreSet(), 1), (LAS(), 1), (LAS(n_neighbors=3), 1), (Mixed([(LAS(), 1)]), None)])
    params = strategy.get_params()
    assert {"coreset", "las-1", "las-2", "mixed", "coreset__initial_centers", "mixed__las__n_init"} <= params.keys()
    assert params["las-2__n_neighbors"] == 3
    assert set(strategy.get_params(deep=False)) == {"stages", "estimator", "random_state"}
    copy = clone(strategy).set_params(**{"las-1__n_neighbors": 7, "mixed__las__n_neighbors": 8, "coreset": BADGE()})
    assert [type(stage).__name__ for stage in copy.strategies] == ["BADGE", "LAS", "LAS", "Mixed"]
    assert [number for _, number in copy.stages] == [1, 1, 1, None]
    assert (copy.get_params()["las-1__n_neighbors"], copy.get_params()["mixed__las__n_neighbors"]) == (7, 8)
    assert strategy.get_params()["las-1__n_neighbors"] == 10
    described = describe_parameters(copy, "strategy")
    assert described["strategy__stages"] == "[(BADGE, 1), (LAS, 1), (LAS, 1), (Mixed, None)]"
    assert described["strategy__las-1__n_neighbors"] == "7"


def test_stages_and_parameters_of_the_new_ones_are_set_at_once():
    strategy = Staged([(CoreSet(), 1)]).set_params(stages=[(LAS(), 2)], las__n_neighbors=4)
    assert repr(strategy) == repr(Staged([(LAS(n_neighbors=4), 2)]))
    with pytest.raises(ValueError, match="Invalid parameter 'badge'"):
        strategy.set_params(badge__first=None)


def test_a_search_turns_stages_and_their_parameters():
    X, y, domain = make_data()
    loop = ActiveAdaptationLoop(LogisticRegression(), THREE, budget=4, n_rounds=2, random_state=0)
    grid = [
        {"strategy__coreset__initial_centers": [None, "labeled"]},
        {"strategy__stages": [[(MarginSampling(), 1), (BADGE(), None)]]},
    ]
    search = GridSearchCV(loop, grid, cv=TargetShuffleSplit(1, random_state=0), scoring=target_accuracy, refit=False)
    search.fit(X, y, sample_domain=domain, groups=domain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_estimator_and_the_seed_are_those_of_every_stage():
    model = LogisticRegression(C=0.1)
    strategy = Staged([(BADGE(), 1), (KMeansSampling(random_state=3), None)], estimator=model, random_state=5)
    first, second = strategy.in_round(1), strategy.in_round(2)
    assert first.estimator is model
    assert second.estimator is model
    assert (first.random_state, second.random_state) == (5, 3)
    X, y, _ = make_data()
    frozen = FrozenEstimator(LogisticRegression().fit(X[:40], y[:40]))
    loop = fit_loop(Staged([(RandomSampling(), 1), (EntropySampling(), None)], estimator=frozen))
    left = np.setdiff1d(np.arange(40, 100), loop.history_[0]["ids"])
    expected = left[EntropySampling().select(PoolView(proba=frozen.predict_proba(X[left])), 3)]
    np.testing.assert_array_equal(loop.history_[1]["ids"], expected)


def test_another_seed_draws_other_rows():
    view = make_view()
    chosen = [Staged([(RandomSampling(), 1)], random_state=seed).select(view, 4).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    own = Staged([(RandomSampling(random_state=2), 1)])
    np.testing.assert_array_equal(own.select(view, 4, random_state=0), own.select(view, 4, random_state=1))


def test_alone_it_is_its_first_stage():
    view = make_view()
    np.testing.assert_array_equal(THREE.select(view, 5), CoreSet().select(view, 5))
    assert THREE.needs == CoreSet().needs
    assert not THREE.has_utilities()
    scored = Staged([(MarginSampling(), 1), (CoreSet(), None)])
    np.testing.assert_array_equal(scored.utilities(view), MarginSampling().utilities(view))


def test_alone_it_is_another_stage_by_its_round():
    X, y, domain = make_data()
    known = mask_target(y, domain)
    later = Staged([(CoreSet(), 1), (EntropySampling(), None)], random_state=0).in_round(2).fit(X, known, domain)
    expected = EntropySampling(random_state=0).fit(X, known, domain)
    np.testing.assert_array_equal(later.query(4), expected.query(4))


def test_members_that_are_fitted_stay_so_in_a_strategy_alone():
    X, y, domain = make_data()
    members = [LogisticRegression(C=c).fit(X[:40], y[:40]) for c in (0.01, 1.0)]
    staged = Staged([(QueryByCommittee(members=members), 1)], random_state=0).fit(X, mask_target(y, domain), domain)
    np.testing.assert_array_equal(staged.pool_.committee_proba[1], members[1].predict_proba(X[40:]))


def test_a_query_beyond_the_short_list_of_a_stage_is_refused():
    X, y, domain = make_data()
    staged = Staged([(Prefilter(n_candidates=20), 1)]).fit(X, mask_target(y, domain), domain)
    assert len(staged.query(20)) == 20
    with pytest.raises(ValueError, match="n_queries=21 exceeds the n_candidates=20 rows on the short list"):
        staged.query(21)


def test_a_later_stage_that_cannot_read_the_model_is_refused_before_any_training():
    X, y, domain = make_data()
    for strategy in (Staged([(CoreSet(), 1), (SAGE(), None)]), Prefilter(Staged([(CoreSet(), 1), (SAGE(), None)]))):
        with pytest.raises(ValueError, match="cannot supply 'class_domain_grad'"):
            ActiveAdaptationLoop(Perceptron(), strategy).fit(X, y, sample_domain=domain)


def test_the_default_model_supplies_what_all_stages_read():
    pytest.importorskip("skada_active.deep")
    model = Staged([(CoreSet(), 1), (SAGE(), None)], random_state=4)._default_estimator(np.zeros((2, 3)))
    assert repr(model.objective) == "TSF()"
    assert model.random_state == 4


def test_where_nothing_is_read_in_the_first_round_nothing_is_trained():
    X, y, domain = make_data()
    fitted = Staged([(RandomSampling(), 1), (SAGE(), None)]).fit(X, mask_target(y, domain), domain)
    assert fitted.estimator_ is None


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages is empty"),
        (
            [CoreSet(), BADGE()],
            r"stages must hold pairs \(strategy, rounds\), such as .*CoreSet\(\), 1.*got Core",
        ),
        ([("coreset", 1)], "stages must hold pairs"),
        ([(CoreSet, 1)], "stages must hold pairs"),
        ([(CoreSet(), 1, 2)], "stages must hold pairs"),
        ([(CoreSet(), 0), (BADGE(), None)], "rounds of stage 1 must be an integer >= 1, got 0"),
        ([(CoreSet(), 1.0), (BADGE(), None)], "rounds of stage 1 must be an integer >= 1, got 1.0"),
        ([(CoreSet(), True), (BADGE(), None)], "rounds of stage 1 must be an integer >= 1, got True"),
        ([(CoreSet(), 1), (BADGE(), "rest")], "rounds of stage 2 must be an integer >= 1, got 'rest'"),
        ([(CoreSet(), None), (BADGE(), None)], "rounds of stage 1 .* got None; the last stage alone may have None"),
        ([(CoreSet(estimator=Perceptron()), 1)], r"an estimator of its own.*give it to Staged: Staged\(..., estimator"),
        (3, "'stages' parameter of Staged must be"),
        ("coreset", "'stages' parameter of Staged must be"),
    ],
)
def test_bad_stages_are_refused_by_name(stages, message):
    X, y, domain = make_data()
    strategy = Staged(stages)
    assert repr(clone(strategy)) == repr(strategy)
    for use in (
        lambda: strategy.select(make_view(), 1),
        lambda: strategy.fit(X, mask_target(y, domain), domain),
        lambda: strategy.in_round(2),
        lambda: fit_loop(strategy),
    ):
        with pytest.raises(ValueError, match=message):
            use()


@pytest.mark.parametrize("number", [0, -1, 1.0, True, None])
def test_what_is_no_number_of_a_round_is_refused(number):
    with pytest.raises(ValueError, match="number must be that of a round, an integer >= 1"):
        Staged().in_round(number)
