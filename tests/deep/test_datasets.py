from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from skada_active.deep import MCC, AdaptationClassifier


class Rows(Dataset):
    def __init__(self, X, labels=None):
        self.X, self.labels = X, labels

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index] if self.labels is None else (self.X[index], self.labels[index])


def classifier(**params):
    params = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "standardize": False, **params}
    return AdaptationClassifier(MCC(), **params)


@pytest.fixture
def data(make_data):
    return make_data()


KINDS = {
    "arrays": Rows,
    "tensors": lambda X: Rows(torch.as_tensor(X)),
    "rows with labels": lambda X: Rows(X, labels=np.full(len(X), 99)),
    "subset": lambda X: Subset(Rows(np.concatenate([X, X])), np.arange(len(X)) + len(X)),
}


@pytest.mark.parametrize("wrap", KINDS.values(), ids=KINDS.keys())
def test_a_dataset_is_fitted_and_read_like_its_array(data, wrap):
    X, y, domain = data
    dataset = wrap(X)
    model, expected = classifier().fit(dataset, y, domain), classifier().fit(X, y, domain)
    for read in ("predict", "predict_proba", "decision_function", "transform"):
        # Another batch size in prediction: sums may differ in the last bit.
        np.testing.assert_allclose(getattr(model, read)(dataset), getattr(expected, read)(X), rtol=1e-4, atol=1e-5)


def test_training_on_a_dataset_is_bit_for_bit_that_on_its_array(data):
    X, y, domain = data
    models = [classifier().fit(rows, y, domain) for rows in (Rows(X), X)]
    first, second = (model.net_.module_.state_dict() for model in models)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_dataset_of_bytes_gives_the_model_of_its_array():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, size=(20, 1, 8, 8)).astype(np.uint8)
    y, domain = np.arange(20) % 2, np.repeat([1, -1], 10)
    first, second = (classifier().fit(rows, y, domain) for rows in (Rows(X), X))
    np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X), rtol=1e-5)


def test_a_dataset_may_be_scored(data):
    X, y, domain = data
    known = np.flatnonzero(y >= 0)
    assert classifier(max_epochs=8).fit(Rows(X), y, domain).score(Subset(Rows(X), known), y[known]) > 0.8


def test_workers_give_the_same_model(data):
    X, y, domain = data
    params = {"iterator_train__num_workers": 2}
    alone, helped = (classifier(max_epochs=1, net_params=p).fit(Rows(X), y, domain) for p in (None, params))
    np.testing.assert_array_equal(helped.predict_proba(Rows(X)), alone.predict_proba(Rows(X)))


def test_a_dataset_goes_on_in_parts(data):
    X, y, domain = data
    model = classifier().fit(Rows(X), y, domain).partial_fit(Rows(X), y, domain)
    assert len(model.net_.history) == 3


def test_a_dataset_of_another_length_than_the_labels_is_refused(data):
    X, y, domain = data
    with pytest.raises(ValueError, match="inconsistent"):
        classifier().fit(Rows(X[:-1]), y, domain)


def test_a_dataset_after_an_array_forgets_the_columns_of_the_array(data):
    X, y, domain = data
    model = classifier().fit(X, y, domain)
    wide = np.concatenate([X, X], axis=1)
    assert model.fit(Rows(wide), y, domain).predict(wide).shape == (64,)
