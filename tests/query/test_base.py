from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skada_active.domains import mask_target, resolve_roles
from skada_active.pool import PoolView
from skada_active.query import (
    GALA,
    LAS,
    SDM,
    CoreSet,
    EntropySampling,
    MarginSampling,
    QueryByCommittee,
    QueryStrategy,
    RandomSampling,
)

rng = np.random.default_rng(0)
Y = np.arange(40) % 3
X = rng.normal(size=(40, 4)) + Y[:, None]
DOMAIN = np.repeat([1, 2, -1], [10, 10, 20])
KNOWN = np.where(np.arange(40) < 25, Y, -1)
POOL = set(range(25, 40))


class Largest(QueryStrategy):
    """Ask first where the first feature is largest."""

    needs = frozenset({"features"})

    def _utilities(self, view):
        return view.features[:, 0].astype(np.float64)


class Untrainable(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fit was called")


def test_a_strategy_needs_only_utilities():
    chosen = Largest().fit(X, KNOWN, DOMAIN).query(3)
    np.testing.assert_array_equal(chosen, 25 + np.argsort(-X[25:, 0])[:3])


def test_a_strategy_of_others_is_checked_like_the_package_s_own():
    features = np.array([[1.0], [np.nan]])
    with pytest.raises(ValueError, match=r"^features of the pool view holds NaN or infinity, first in its row 1"):
        Largest().select(PoolView(features=features), 1)
    with pytest.raises(ValueError, match="'random_state' parameter of Largest must be"):
        Largest(random_state="seed").utilities(PoolView(features=[[1.0]]))


def test_large_finite_values_pass_the_check_though_their_sum_overflows():
    view = PoolView(features=np.full((2, 2), 3e38, dtype=np.float32))
    assert Largest().select(view, 2).tolist() == [0, 1]


def test_logits_from_which_probabilities_derive_are_checked():
    with pytest.raises(ValueError, match="logits of the pool view holds NaN"):
        EntropySampling().select(PoolView(logits=[[np.nan, 1.0]]), 1)


def test_constructors_check_nothing():
    assert SDM(query_loss=7, margin="x").get_params()["query_loss"] == 7
    with pytest.raises(ValueError, match="'query_loss' parameter of SDM must be a str"):
        SDM(query_loss=7).fit(X, KNOWN, DOMAIN)


def test_ids_are_row_numbers_of_x():
    order = np.random.default_rng(1).permutation(40)
    ids = MarginSampling().fit(X[order], KNOWN[order], DOMAIN[order]).query(5)
    assert set(order[ids]) <= POOL


def test_repeating_a_query_repeats_the_answer():
    strategy = RandomSampling().fit(X, KNOWN, DOMAIN)
    np.testing.assert_array_equal(strategy.query(5), strategy.query(5))


def test_utilities_of_the_chosen_are_returned_on_demand():
    strategy = MarginSampling().fit(X, KNOWN, DOMAIN)
    ids, utilities = strategy.query(4, return_utilities=True)
    np.testing.assert_array_equal(utilities, strategy.utilities(strategy.pool_)[ids - 25])
    assert (np.diff(utilities) <= 0).all()


def test_a_strategy_without_scores_returns_nan_and_says_so():
    strategy = RandomSampling().fit(X, KNOWN, DOMAIN)
    assert np.isnan(strategy.query(4, return_utilities=True)[1]).all()
    with pytest.raises(AttributeError, match="RandomSampling has no utility per candidate"):
        strategy.utilities(strategy.pool_)


@pytest.mark.parametrize("n_queries", [-1, 1.0, "all", None, True])
def test_a_number_of_queries_that_is_no_count_is_refused(n_queries):
    with pytest.raises(ValueError, match=r"n_queries must be an integer >= 0, got"):
        MarginSampling().fit(X, KNOWN, DOMAIN).query(n_queries)


def test_numpy_integers_count():
    assert len(MarginSampling().fit(X, KNOWN, DOMAIN).query(np.int32(2))) == 2


def test_a_query_before_fit_is_refused():
    with pytest.raises(Exception, match="not fitted yet"):
        MarginSampling().query()


def test_without_domains_all_rows_are_source_and_the_pool_is_empty():
    strategy = MarginSampling().fit(X, Y)
    assert len(strategy.pool_) == 0
    with pytest.warns(UserWarning, match="exceeds the pool of 0"):
        ids, utilities = strategy.query(return_utilities=True)
    assert (ids.shape, ids.dtype, utilities.shape) == ((0,), np.int64, (0,))


def test_the_estimator_is_cloned_and_fitted_on_the_labelled_rows():
    estimator = LogisticRegression(C=0.5)
    strategy = MarginSampling(estimator=estimator).fit(X, KNOWN, DOMAIN)
    assert not hasattr(estimator, "coef_")
    np.testing.assert_array_equal(strategy.estimator_.coef_, clone(estimator).fit(X[:25], Y[:25]).coef_)


def test_a_frozen_estimator_is_used_as_it_is():
    model = LogisticRegression().fit(X[:10], Y[:10])
    strategy = MarginSampling(estimator=FrozenEstimator(model)).fit(X, KNOWN, DOMAIN)
    np.testing.assert_array_equal(strategy.pool_.proba, model.predict_proba(X[25:]))


def test_a_frozen_estimator_needs_no_source_rows():
    model = FrozenEstimator(LogisticRegression().fit(X[:10], Y[:10]))
    ids = MarginSampling(estimator=model).fit(X, np.full(40, -1), np.full(40, -1)).query(3)
    assert len(ids) == 3


def test_without_any_label_there_is_nothing_to_train_on():
    with pytest.raises(ValueError, match=r"No row has a label.*FrozenEstimator"):
        MarginSampling().fit(X, np.full(40, -1), np.full(40, -1))


@pytest.mark.parametrize("model", [Untrainable(), make_pipeline(Untrainable())])
def test_an_unmet_need_is_refused_before_any_training(model):
    class NeedsDiscriminator(MarginSampling):
        needs = frozenset({"source_logit"})

    with pytest.raises(ValueError, match=r"cannot supply 'source_logit', which the query strategy reads. Use an Adapt"):
        NeedsDiscriminator(estimator=model).fit(X, KNOWN, DOMAIN)


def test_a_domain_aware_estimator_gets_all_rows_and_their_domains():
    class DomainAware(LogisticRegression):
        def fit(self, X, y, sample_domain=None):
            self.seen_ = len(X), np.asarray(y).tolist(), np.asarray(sample_domain).tolist()
            return super().fit(X[y != -1], y[y != -1])

    strategy = MarginSampling(estimator=DomainAware()).fit(X, KNOWN, DOMAIN)
    assert strategy.estimator_.seen_ == (40, KNOWN.tolist(), DOMAIN.tolist())


def test_labels_present_in_target_rows_are_known():
    assert len(MarginSampling().fit(X, Y, DOMAIN).pool_) == 0


def test_an_integer_seed_of_the_strategy_wins_over_the_caller_s():
    view = PoolView(index=np.arange(30))
    own = RandomSampling(random_state=3)
    np.testing.assert_array_equal(own.choose(view, 5, random_state=1)[0], own.choose(view, 5, random_state=2)[0])
    free = RandomSampling()
    assert free.choose(view, 5, random_state=1)[0].tolist() != free.choose(view, 5, random_state=2)[0].tolist()


def test_select_takes_its_seed_from_the_strategy_by_default():
    view = PoolView(index=np.arange(30))
    first, second = (RandomSampling(random_state=5).select(view, 5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_random_state_instance_is_drawn_from():
    shared = np.random.RandomState(0)
    first, second = (RandomSampling(random_state=shared).fit(X, KNOWN, DOMAIN).query(8) for _ in range(2))
    assert first.tolist() != second.tolist()


def test_choose_from_an_empty_view_is_empty():
    positions, utilities = MarginSampling().choose(PoolView(index=np.empty(0, dtype=int)), 3)
    assert positions.shape == utilities.shape == (0,)


def test_string_labels_and_data_frames_with_strings_work():
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.array(["red", "blue"])[(X[:, 1] > 1).astype(int)]})
    names = np.array(["ant", "bee", "cow", None], dtype=object)[KNOWN]
    columns = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    strategy = CoreSet(estimator=make_pipeline(columns, LogisticRegression())).fit(frame, names, DOMAIN)
    assert set(strategy.query(5)) <= POOL
    assert strategy.feature_names_in_.tolist() == ["size", "colour"]
    assert strategy.n_features_in_ == 2


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array, np.ndarray.tolist])
def test_sparse_rows_and_lists_work_like_arrays(container):
    expected = SDM().fit(X, KNOWN, DOMAIN).query(5)
    np.testing.assert_array_equal(SDM().fit(container(X), KNOWN.tolist(), DOMAIN.tolist()).query(5), expected)


def test_read_only_data_are_neither_written_to_nor_refused():
    arrays = [X.copy(), KNOWN.copy(), DOMAIN.copy()]
    for array in arrays:
        array.flags.writeable = False
    assert len(SDM().fit(*arrays).query(3)) == 3


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MarginSampling().fit(X[:30], KNOWN, DOMAIN)


def test_several_targets_form_one_pool():
    domain = np.where(np.arange(40) < 30, DOMAIN, -2)
    assert MarginSampling().fit(X, KNOWN, domain).pool_.index.tolist() == sorted(POOL)


def test_view_takes_the_model_and_the_roles_of_a_loop():
    roles = resolve_roles(KNOWN, DOMAIN)
    model = RandomForestClassifier(5, random_state=0).fit(X[:25], Y[:25])
    view = MarginSampling().view(model, X, KNOWN, roles.reveal([30]), n_initial=15)
    assert (len(view), view.n_initial) == (14, 15)
    np.testing.assert_array_equal(view.proba, model.predict_proba(X[view.index]))


def test_the_default_estimator_of_images_is_a_network_with_the_strategy_s_seed():
    pytest.importorskip("torch")
    estimator = MarginSampling(random_state=3)._default_estimator(np.zeros((2, 1, 8, 8)))
    assert type(estimator).__name__ == "AdaptationClassifier"
    assert estimator.random_state == 3


@pytest.mark.parametrize(
    ("needs", "objective"),
    [
        ({"source_logit"}, "DANN()"),
        ({"class_domain_grad", "proba"}, "TSF()"),
        ({"class_discriminator"}, "TSF()"),
        ({"class_discriminator", "source_logit"}, "DANN() + TSF()"),
    ],
)
def test_the_default_estimator_trains_the_discriminator_that_is_read(needs, objective):
    deep = pytest.importorskip("skada_active.deep")

    class Reader(MarginSampling):
        pass

    Reader.needs = frozenset(needs)
    estimator = Reader(random_state=3)._default_estimator(np.zeros((2, 3)))
    assert repr(estimator.objective) == repr(eval(objective, vars(deep)))
    assert estimator.random_state == 3
    assert not Reader().__sklearn_tags__().input_tags.sparse


def test_probabilities_may_derive_from_logits():
    class Reader(QueryStrategy):
        needs = frozenset({"logits"})

        def _utilities(self, view):
            return view.proba[:, 0].astype(np.float64)

    assert set(vars(Reader().fit(X, KNOWN, DOMAIN).pool_)) == {"index", "n_initial", "logits"}
    assert len(Reader().fit(X, KNOWN, DOMAIN).query(3)) == 3
    with pytest.raises(ValueError, match="logits of the pool view holds NaN"):
        Reader().select(PoolView(logits=[[np.nan, 1.0]]), 1)
    with pytest.raises(ValueError, match="cannot supply 'logits'"):
        Reader().check_model(RandomForestClassifier())


class Counted(QueryStrategy):
    """Count how often it is asked for utilities, and how often its parameters are checked."""

    needs = frozenset({"features"})
    scored = checked = 0

    def _utilities(self, view):
        type(self).scored += 1
        return view.features[:, 0].astype(np.float64)

    def _validate_params(self):
        type(self).checked += 1
        super()._validate_params()


def test_a_round_checks_once_and_asks_for_utilities_once(monkeypatch):
    finite = []
    monkeypatch.setattr(PoolView, "check_finite", lambda *args: finite.append(args))
    Counted.scored = Counted.checked = 0
    view = PoolView(features=X)
    positions, utilities = Counted().choose(view, 5)
    assert (Counted.scored, Counted.checked, len(finite)) == (1, 1, 1)
    np.testing.assert_array_equal(utilities, X[positions, 0])
    Counted().select(view, 5)
    assert (Counted.scored, Counted.checked, len(finite)) == (2, 2, 2)


@pytest.mark.parametrize("name", ["utilities", "select"])
def test_a_public_method_is_not_to_be_overridden(name):
    with pytest.raises(TypeError, match=f"Old overrides {name}, .* override _{name} instead"):
        type("Old", (QueryStrategy,), {name: lambda self, view: None})


def test_a_need_that_is_no_field_is_refused_by_name():
    class Misspelt(QueryStrategy):
        needs = frozenset({"probs"})

    with pytest.raises(TypeError, match=r"PoolView has no field 'probs'; the fields are .*proba"):
        Misspelt().fit(X, KNOWN, DOMAIN)


@pytest.mark.parametrize("utilities", [np.zeros(3), np.zeros((4, 1)), np.array(list("abcd"))])
def test_utilities_that_are_not_one_number_for_each_candidate_are_refused(utilities):
    class Wrong(QueryStrategy):
        def _utilities(self, view):
            return utilities

    with pytest.raises(ValueError, match=r"Wrong\._utilities must return one number for each of the 4 candidate"):
        Wrong().select(PoolView(index=np.arange(4)), 1)


class TestCandidates:
    def test_rows_are_chosen_among_the_candidates_only(self):
        strategy = MarginSampling().fit(X, KNOWN, DOMAIN)
        among = [39, 27, 31, 28]
        order = [row for row in strategy.query(15) if row in among]
        assert strategy.query(2, candidates=among).tolist() == order[:2]

    def test_their_utilities_are_those_of_the_whole_pool(self):
        strategy = MarginSampling().fit(X, KNOWN, DOMAIN)
        ids, utilities = strategy.query(3, candidates=[30, 33, 35], return_utilities=True)
        np.testing.assert_array_equal(utilities, strategy.utilities(strategy.pool_)[ids - 25])

    @pytest.mark.parametrize("strategy", [RandomSampling(random_state=0), CoreSet(), MarginSampling()])
    def test_the_whole_pool_in_any_order_is_no_restriction(self, strategy):
        strategy.fit(X, KNOWN, DOMAIN)
        assert strategy.query(5, candidates=range(39, 24, -1)).tolist() == strategy.query(5).tolist()

    def test_a_query_beyond_them_returns_them_all_and_warns(self):
        strategy = MarginSampling().fit(X, KNOWN, DOMAIN)
        with pytest.warns(UserWarning, match=r"n_queries=3 exceeds the 2 candidate\(s\)"):
            assert sorted(strategy.query(3, candidates=[26, 25])) == [25, 26]

    def test_none_of_them_is_none_to_choose(self):
        strategy = MarginSampling().fit(X, KNOWN, DOMAIN)
        assert len(strategy.query(0, candidates=[])) == 0

    @pytest.mark.parametrize(
        "candidates",
        [
            (30, 33, 35),
            range(30, 36),
            np.array([35, 30], dtype=np.uint8),
            pd.Series([30, 33], index=[7, 2]),
            pd.Index([30, 33]),
            np.ma.masked_array([30, 33]),
        ],
        ids=repr,
    )
    def test_row_numbers_come_in_any_one_dimensional_container(self, candidates):
        assert MarginSampling().fit(X, KNOWN, DOMAIN).query(1, candidates=candidates)[0] in list(candidates)

    @pytest.mark.parametrize(
        "strategy",
        [LAS(3), LAS(3, oversampling=0), GALA(outlier_neighbors=2), CoreSet(), QueryByCommittee(n_members=2)],
    )
    def test_the_neighbours_of_a_candidate_are_those_in_the_whole_pool(self, strategy):
        strategy.set_params(random_state=0).fit(X, KNOWN, DOMAIN)
        ids, utilities = strategy.query(4, candidates=[26, 30, 33, 35, 38], return_utilities=True)
        assert set(ids.tolist()) < {26, 30, 33, 35, 38}
        if strategy.has_utilities():
            np.testing.assert_array_equal(utilities, strategy.utilities(strategy.pool_)[ids - 25])

    @pytest.mark.parametrize(
        ("candidates", "message"),
        [
            ([25, 24], r"candidates names row 24, which is not in the pool of 15 row\(s\).*strategy\.pool_\.index"),
            ([25, 99], r"candidates names row 99, which is not in the pool"),
            ([26, 25, 26], r"candidates names row 26 more than once"),
            ([25.0], r"candidates must be a list of row numbers of X, got dtype float64"),
            (np.ones(40, dtype=bool), r"candidates must be .* dtype bool .*numpy\.flatnonzero\(mask\)"),
            ([[25]], r"candidates must be a list .* of shape \(1, 1\)"),
            (25, r"candidates must be a list .* of shape \(\); put a single number into a list"),
            ({25, 26}, r"candidates must be a list .* make one of a set or generator by list"),
            ([-1], r"candidates names row -1, which is not in the pool"),
            (np.array([2**63 + 25], dtype=np.uint64), r"candidates holds 9223372036854775833, which is no row number"),
            ([True, False], r"candidates must be .* dtype bool .*numpy\.flatnonzero\(mask\)"),
            (pd.Series([True] * 40), r"candidates must be .* dtype bool"),
            (pd.DataFrame({"id": [25]}), r"candidates must be a list .* of shape \(1, 1\)"),
            (np.ma.masked_array([25, 26], [False, True]), r"candidates is a masked array in which 1 of 2 are masked"),
            (["25"], r"candidates must be a list of row numbers of X, got dtype <U2"),
        ],
    )
    def test_what_are_no_rows_of_the_pool_is_refused(self, candidates, message):
        with pytest.raises(ValueError, match=message):
            MarginSampling().fit(X, KNOWN, DOMAIN).query(1, candidates=candidates)


@pytest.mark.parametrize("strategy", [MarginSampling(), QueryByCommittee(n_members=2)])
def test_excluded_rows_are_no_candidates(strategy):
    roles = resolve_roles(KNOWN, DOMAIN).exclude([30, 31])
    model = LogisticRegression().fit(X[:25], Y[:25])
    view = strategy.view(model, X, KNOWN, roles, random_state=0)
    assert view.index.tolist() == sorted(POOL - {30, 31})
    assert len(strategy.choose(view, 13, random_state=0)[0]) == 13


class Counting(LogisticRegression):
    """Classifier that counts how often it is read."""

    calls = 0

    def predict_proba(self, X):
        type(self).calls += 1
        return super().predict_proba(X)


def test_a_strategy_by_itself_reads_the_model_in_fit_and_chooses_in_query(blobs):
    X, y, sample_domain = blobs
    model = Counting().fit(X[:60], y[:60])
    strategy = LAS(estimator=FrozenEstimator(model), random_state=0)
    strategy.fit(X, mask_target(y, sample_domain), sample_domain)
    calls = Counting.calls
    assert calls
    strategy.query(10)
    assert Counting.calls == calls
