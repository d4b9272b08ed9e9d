"""What every call of a strategy is checked for: the view, the number of queries, and the answer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skada_active.datasets import make_shifted_blobs
from skada_active.domains import mask_target
from skada_active.pool import PoolView
from skada_active.query import (
    BADGE,
    CLUE,
    SAGE,
    SDM,
    CoreSet,
    KMeansSampling,
    MarginSampling,
    QueryStrategy,
    RandomSampling,
)


class Chosen(QueryStrategy):
    """Return what it was made with."""

    def __init__(self, positions=None, estimator=None, random_state=None):
        super().__init__(estimator=estimator, random_state=random_state)
        self.positions = positions

    def _select(self, view, n_queries, rng):
        return self.positions


def test_an_unfilled_field_is_named_as_the_strategy_names_it():
    with pytest.raises(AttributeError, match=r"PoolView\.proba was not filled"):
        MarginSampling().select(PoolView(features=np.ones((2, 2))), 1)


@pytest.mark.parametrize(
    "strategy", [RandomSampling(), MarginSampling(), KMeansSampling(), CoreSet(), BADGE(), CLUE(), SAGE()]
)
def test_an_empty_view_gives_an_empty_choice(strategy):
    view = PoolView(index=np.empty(0, dtype=np.int64))
    chosen = strategy.select(view, 3)
    assert chosen.dtype == np.int64
    assert len(chosen) == 0


@pytest.mark.parametrize("strategy", [MarginSampling(), SDM(), SAGE()])
def test_an_empty_view_has_empty_utilities(strategy):
    assert strategy.utilities(PoolView(index=np.empty(0, dtype=np.int64))).shape == (0,)


@pytest.mark.parametrize("n_queries", [-1, 1.5, None, True])
@pytest.mark.parametrize("strategy", [RandomSampling(), MarginSampling()])
def test_number_of_queries_is_checked_in_select_too(strategy, n_queries):
    with pytest.raises(ValueError, match="n_queries must be an integer >= 0"):
        strategy.select(PoolView(proba=np.full((4, 2), 0.5)), n_queries)


@pytest.mark.parametrize("positions", [[0, 0], [0], [0, 7], [-1, 0], [0.0, 1.0], [[0, 1]], [0, 1, 2]])
def test_a_choice_that_is_none_is_refused_by_the_name_of_its_strategy(positions):
    with pytest.raises(ValueError, match=r"Chosen\._select must return 2 distinct positions from 0 to 4"):
        Chosen(positions).select(PoolView(index=np.arange(5)), 2)


def test_a_list_of_positions_is_a_choice():
    assert Chosen([3, 1]).select(PoolView(index=np.arange(5)), 2).tolist() == [3, 1]


def test_random_sampling_trains_nothing():
    X = np.zeros((4, 1, 8, 8))
    strategy = RandomSampling(random_state=0).fit(X, [-1, -1, -1, -1], [-1, -1, -1, -1])
    assert strategy.estimator_ is None
    assert len(strategy.query(2)) == 2


def test_random_sampling_fits_an_estimator_of_its_own():
    X, y, sample_domain = make_shifted_blobs(30, 30, random_state=0)
    strategy = RandomSampling(LogisticRegression()).fit(X, mask_target(y, sample_domain), sample_domain)
    assert strategy.estimator_.classes_.tolist() == [0, 1, 2]


def test_columns_are_forgotten_when_a_dataset_is_fitted():
    torch_data = pytest.importorskip("torch.utils.data")

    class Rows(torch_data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.zeros(2, dtype=np.float32)

    strategy = RandomSampling().fit(np.zeros((3, 2)), [0, 1, -1], [1, 1, -1])
    strategy.fit(Rows(), [0, 1, -1], [1, 1, -1])
    assert not hasattr(strategy, "n_features_in_")
