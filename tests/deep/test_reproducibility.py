from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from torch import nn

from skada_active.deep import DANN, MCC, AdaptationClassifier, MarginLoss


def classifier(random_state=0, **params):
    # Dropout, so that training draws from torch's generator in every step.
    params = {"max_epochs": 2, "batch_size": 8, "module": make_module, **params}
    return AdaptationClassifier(MCC() + DANN() + MarginLoss(), random_state=random_state, **params)


def make_module(shape):
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.Dropout(0.5))


def global_state():
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), keys.tolist(), position, random.getstate()


def weights(model):
    return torch.cat([parameter.detach().ravel() for _, parameter in model.net_.get_all_learnable_params()])


@pytest.fixture
def data(make_data):
    return make_data()


def test_a_seed_gives_the_same_model_bit_for_bit(data):
    assert torch.equal(*(weights(classifier().fit(*data)) for _ in range(2)))


def test_fitting_again_gives_the_same_model(data):
    model = classifier()
    assert torch.equal(weights(model.fit(*data)), weights(model.fit(*data)))


def test_other_seeds_give_other_models(data):
    assert not torch.equal(weights(classifier(0).fit(*data)), weights(classifier(1).fit(*data)))


def test_without_a_seed_no_global_generator_changes(data):
    before = global_state()
    classifier(random_state=None).fit(*data).predict(data[0])
    assert global_state() == before


def test_a_random_state_moves_on_with_every_fit(data):
    state = np.random.RandomState(0)
    first, second = (weights(classifier(state).fit(*data)) for _ in range(2))
    again = weights(classifier(np.random.RandomState(0)).fit(*data))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_the_global_generators_do_not_matter(data):
    torch.manual_seed(1)
    first = weights(classifier().fit(*data))
    torch.manual_seed(2)
    assert torch.equal(first, weights(classifier().fit(*data)))


def test_the_global_generators_are_left_as_they_were(data):
    before = global_state()
    model = classifier().fit(*data).partial_fit(*data)
    model.predict_proba(data[0])
    assert global_state() == before


def test_threads_give_the_models_of_a_single_one(data):
    alone = [weights(classifier(seed).fit(*data)) for seed in range(4)]
    together = Parallel(n_jobs=2, backend="threading")(
        delayed(classifier(seed, max_epochs=2).fit)(*data) for seed in range(4)
    )
    assert all(torch.equal(expected, weights(model)) for expected, model in zip(alone, together, strict=True))


def test_training_in_parts_is_reproducible(data):
    first, second = (classifier() for _ in range(2))
    for model in (first, second):
        for _ in range(3):
            model.partial_fit(*data)
    assert torch.equal(weights(first), weights(second))


def test_prediction_between_the_parts_changes_nothing(data):
    first, second = (classifier().partial_fit(*data) for _ in range(2))
    second.predict_proba(data[0])
    assert torch.equal(weights(first.partial_fit(*data)), weights(second.partial_fit(*data)))


def test_the_first_part_is_a_fit(data):
    parted = classifier().partial_fit(*data, epochs=2)
    assert torch.equal(weights(parted), weights(classifier().fit(*data)))


def test_parts_draw_other_batches_than_the_first(data):
    X, y, domain = data
    model = classifier(max_epochs=0, lr=0.0).fit(X, y, domain)
    seen = []
    model.net_.module_.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    model.partial_fit(X, y, domain).partial_fit(X, y, domain)
    assert not torch.equal(seen[0], seen[len(seen) // 2])
