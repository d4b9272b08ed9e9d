from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skada_active.datasets import make_shifted_blobs
from skada_active.deep import DANN, AdaptationClassifier
from skada_active.domains import mask_target
from skada_active.loop import ActiveAdaptationLoop
from skada_active.pool import PoolView
from skada_active.query import LAS, TQS, Prefilter, QueryByCommittee, tqs_scores
from skada_active.selection import top_k


class WithHeads(LogisticRegression):
    """Supply a committee and a discriminator, as a network of several heads does."""

    pool_supplies = frozenset({"proba", "committee_proba", "source_logit"})
    n_fits = 0

    def fit(self, X, y):
        type(self).n_fits += 1
        return super().fit(X, y)

    def pool_outputs(self, X, names):
        proba = self.predict_proba(X)
        heads = np.stack([proba, 1 - proba, np.full_like(proba, 0.5)])
        outputs = {"proba": proba, "committee_proba": heads, "source_logit": X[:, 0], "features": X}
        return {name: outputs[name] for name in names}


def make_fields(n=60, n_members=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "proba": rng.dirichlet(np.ones(n_classes), size=n),
        "committee_proba": rng.dirichlet(np.ones(n_classes), size=(n_members, n)),
        "source_logit": 2 * rng.normal(size=n),
    }


def make_view(**options):
    return PoolView(**make_fields(**options))


def naive(proba, committee_proba, source_logit, domainness, mean=0.75, std=0.4):
    scores = []
    for i, row in enumerate(proba):
        second, first = np.sort(row)[-2:]
        members = committee_proba[:, i]
        middle = members.sum(axis=0) / len(members)
        deviation = np.sqrt(((members - middle) ** 2).sum(axis=0) / (len(members) - 1))
        d = 1 / (1 + np.exp(source_logit[i]))
        counts = {None: 0, "linear": d, "gaussian": np.exp(-((d - mean) ** 2) / (2 * std**2))}
        scores.append(1 - (first - second) + deviation.sum() / len(row) + counts[domainness])
    return scores


@pytest.fixture(scope="module")
def data():
    X, y, sample_domain = make_shifted_blobs(60, 50, random_state=0)
    y = np.minimum(y, 1)
    return X, mask_target(y, sample_domain), sample_domain


def test_scores_of_the_worked_example():
    # Margin .4, members (.8, .2) and (.6, .4) of deviation .2 / sqrt 2, P(target) of .5.
    proba, members = [[0.7, 0.3]], [[[0.8, 0.2]], [[0.6, 0.4]]]
    np.testing.assert_allclose(tqs_scores(proba, members), [0.6 + 0.2 / np.sqrt(2)])
    np.testing.assert_allclose(tqs_scores(proba, members, [0.0]), [1.1 + 0.2 / np.sqrt(2)])
    bell = tqs_scores(proba, members, [0.0], domainness="gaussian", mean=0.75, std=0.25)
    np.testing.assert_allclose(bell, [0.6 + 0.2 / np.sqrt(2) + np.exp(-0.5)])


@pytest.mark.parametrize("domainness", [None, "linear", "gaussian"])
@pytest.mark.parametrize("n_members", [2, 5])
def test_scores_are_those_of_the_naive_loop(domainness, n_members):
    fields = make_fields(n_members=n_members)
    expected = naive(*fields.values(), domainness)
    np.testing.assert_allclose(TQS(domainness).utilities(PoolView(**fields)), expected)
    if domainness is not None:
        np.testing.assert_allclose(tqs_scores(**fields, domainness=domainness), expected)


def test_the_discriminator_is_read_with_domainness_only():
    assert TQS().needs == {"proba", "committee_proba", "source_logit"}
    assert TQS(domainness=None).needs == {"proba", "committee_proba"}


def test_without_a_window_the_highest_scores_come_in_order():
    view = make_view()
    assert TQS().select(view, 7, random_state=3).tolist() == top_k(TQS().utilities(view), 7).tolist()


@pytest.mark.parametrize(("window", "n_queries", "n_top"), [(0.2, 3, 12), (0.1, 9, 9), (1.0, 2, 60)])
def test_a_window_draws_among_so_much_of_the_pool(window, n_queries, n_top):
    view, strategy = make_view(), TQS(window=window)
    drawn = [strategy.select(view, n_queries, random_state=seed).tolist() for seed in range(300)]
    assert set(np.concatenate(drawn)) == set(top_k(strategy.utilities(view), n_top).tolist())
    assert len({tuple(rows) for rows in drawn}) > 200


@pytest.mark.parametrize("confidence", [0.9, 0.75])
def test_the_automatic_window_is_the_share_that_the_model_expects_to_be_wrong(confidence):
    rng = np.random.default_rng(0)
    fields = make_fields(n=80, n_classes=2) | {"proba": np.tile([confidence, 1 - confidence], (80, 1))}
    view, strategy = PoolView(**fields), TQS(window="auto")
    drawn = {int(strategy.select(view, 1, random_state=rng.integers(2**31))[0]) for _ in range(400)}
    assert drawn == set(top_k(strategy.utilities(view), round(80 * (1 - confidence))).tolist())


def test_a_committee_of_one_is_refused():
    with pytest.raises(ValueError, match=r"committee_proba must hold at least two members, got 1.*n_heads=5"):
        TQS().select(make_view(n_members=1), 1)


@pytest.mark.parametrize(
    "changes", [{"domainness": None}, {"domainness": "gaussian", "mean": 0.1}, {"domainness": "gaussian", "std": 0.05}]
)
def test_every_parameter_of_the_score_changes_the_choice(changes):
    def choices(**parameters):
        return [TQS(**parameters).select(make_view(seed=s), 6).tolist() for s in range(5)]

    plain = {name: value for name, value in changes.items() if name == "domainness" and len(changes) > 1}
    assert choices(**changes) != choices(**plain)


@pytest.mark.parametrize(
    "parameters",
    [{"domainness": "steep"}, {"window": 0}, {"window": "all"}, {"mean": "high"}, {"std": 0}, {"n_members": 1}],
)
def test_parameters_out_of_range_are_refused_by_name(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of TQS must be"):
        TQS(**parameters).select(make_view(), 1)


def test_functions_refuse_what_they_cannot_compute_with():
    fields = make_fields()
    with pytest.raises(ValueError, match='domainness must be "linear" or "gaussian", got \'steep\''):
        tqs_scores(**fields, domainness="steep")
    with pytest.raises(ValueError, match="std must be above 0, got 0"):
        tqs_scores(**fields, std=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tqs_scores(fields["proba"][:-1], fields["committee_proba"])


def test_the_heads_of_the_estimator_are_the_committee_and_nothing_else_is_trained(data):
    before = WithHeads.n_fits
    strategy = TQS(estimator=WithHeads(), random_state=0).fit(*data)
    assert WithHeads.n_fits == before + 1
    proba = strategy.pool_.proba
    np.testing.assert_allclose(strategy.pool_.committee_proba, [proba, 1 - proba, np.full_like(proba, 0.5)])
    assert len(set(strategy.query(5).tolist())) == 5


def test_heads_of_a_frozen_estimator_are_read(data):
    X, y, sample_domain = data
    model = FrozenEstimator(WithHeads().fit(X[sample_domain > 0], y[sample_domain > 0]))
    assert TQS(estimator=model).fit(*data).pool_.committee_proba.shape == (3, 50, 2)


def test_given_members_come_before_heads(data):
    members = [LogisticRegression(C=c) for c in (0.1, 10.0)]
    strategy = TQS(members=members, estimator=WithHeads(), random_state=0).fit(*data)
    X, y, sample_domain = data
    known = sample_domain > 0
    expected = [clone(member).fit(X[known], y[known]).predict_proba(X[~known]) for member in members]
    np.testing.assert_allclose(strategy.pool_.committee_proba, expected, rtol=1e-6)


def test_without_heads_the_committee_is_that_of_query_by_committee(data):
    strategies = [kind(n_members=3, random_state=0) for kind in (TQS, QueryByCommittee)]
    strategies[0].set_params(domainness=None)
    ours, theirs = (strategy.fit(*data).pool_.committee_proba for strategy in strategies)
    assert ours.shape == (3, 50, 2)
    np.testing.assert_array_equal(ours, theirs)


def test_query_by_committee_goes_on_to_train_its_own_members(data):
    assert QueryByCommittee(n_members=2, estimator=WithHeads()).fit(*data).pool_.committee_proba.shape == (2, 50, 2)


def test_a_frozen_estimator_without_heads_is_refused_before_any_training():
    with pytest.raises(ValueError, match=r"is frozen.*members="):
        TQS(domainness=None).check_model(FrozenEstimator(LogisticRegression()))


def test_a_default_network_that_can_have_heads_gets_one_for_each_member(monkeypatch):
    class Network(ClassifierMixin, BaseEstimator):
        def __init__(self, objective=None, n_heads=1, random_state=None):
            self.objective = objective
            self.n_heads = n_heads
            self.random_state = random_state

    monkeypatch.setattr("skada_active.deep.AdaptationClassifier", Network)
    estimator = TQS(n_members=3)._default_estimator(np.zeros((4, 2)))
    assert estimator.n_heads == 3
    assert isinstance(estimator.objective, DANN)


@pytest.mark.parametrize("strategy", [LAS(by=TQS(n_members=3)), Prefilter(by=TQS(n_members=3))], ids=repr)
def test_a_strategy_that_asks_by_tqs_has_the_heads_of_its_default_network(strategy, data):
    X, y, sample_domain = data
    trained = []

    class Network(WithHeads):
        def __init__(self, objective=None, n_heads=None, random_state=None):
            super().__init__(random_state=random_state)
            self.objective = objective
            self.n_heads = n_heads

        def fit(self, X, y):
            trained.append(self.n_heads)
            return super().fit(X, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skada_active.deep.AdaptationClassifier", Network)
        strategy.fit(X, y, sample_domain)
    assert trained == [3]


def test_in_the_loop_it_reads_discriminator_and_committee():
    X, y, sample_domain = make_shifted_blobs(60, 50, random_state=0)
    model = AdaptationClassifier(DANN(), max_epochs=1, random_state=0)
    loop = ActiveAdaptationLoop(model, TQS(window="auto", n_members=2), budget=6, n_rounds=2, random_state=0)
    loop.fit(X, y, sample_domain=sample_domain)
    assert len(set(loop.queried_ids_.tolist())) == 6
    assert (sample_domain[loop.queried_ids_] < 0).all()


def test_a_model_without_a_discriminator_is_refused_before_any_training():
    with pytest.raises(ValueError, match="cannot supply 'source_logit'"):
        TQS().check_model(LogisticRegression())
    TQS(domainness=None).check_model(LogisticRegression())
