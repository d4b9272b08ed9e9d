from __future__ import annotations

import numpy as np
import pytest
import torch
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch.utils.data import Subset

from skada_active.deep import MCC, AdaptationClassifier
from skada_active.deep._split import split_labeled
from skada_active.deep.batches import DomainDataset

LABELS = torch.tensor([-1, 0, 1, -1, 0, 1, 1, -1, 0, 1])


def make_dataset(labels=LABELS):
    domain = torch.arange(len(labels)) % 2
    return DomainDataset(torch.arange(len(labels), dtype=torch.float32)[:, None], labels, domain, 1)


def rows(part):
    return np.asarray(part.indices).tolist()


def fitted(data, train_split):
    model = AdaptationClassifier(
        MCC(), max_epochs=2, batch_size=8, random_state=0, net_params={"train_split": train_split}
    )
    return model.fit(*data)


def test_labelled_rows_are_divided_and_the_others_stay_in_training():
    train, valid = split_labeled(ValidSplit(2), make_dataset())
    assert rows(valid) == [1, 2, 4, 5]
    assert rows(train) == [0, 3, 6, 7, 8, 9]


def test_split_gets_the_labels_of_the_labelled_rows():
    seen = []

    def split(dataset, y=None):
        seen.append((len(dataset), y.tolist()))
        return dataset, None

    train, valid = split_labeled(split, make_dataset())
    assert seen == [(7, [0, 1, 0, 1, 1, 0, 1])]
    assert rows(train) == list(range(10))
    assert valid is None


def test_stratified_split_keeps_the_shares_of_the_classes():
    labels = torch.tensor([0] * 20 + [1] * 10 + [-1] * 10)
    _, valid = split_labeled(ValidSplit(5, stratified=True), make_dataset(labels))
    assert torch.bincount(labels[rows(valid)]).tolist() == [4, 2]


def test_a_split_of_a_split_is_followed_to_its_rows():
    def split(dataset, y=None):
        first = Subset(dataset, [2, 3, 4, 5])
        return Subset(first, [0, 3]), Subset(first, [1])

    train, valid = split_labeled(split, make_dataset())
    assert rows(train) == [0, 3, 4, 7, 8]
    assert rows(valid) == [5]


def test_validation_data_of_ones_own_are_kept():
    own = make_dataset()
    train, valid = split_labeled(predefined_split(own), make_dataset())
    assert valid is own
    assert rows(train) == list(range(10))


@pytest.mark.parametrize(("train_rows", "valid_rows", "name"), [([], [0, 1], "training"), ([0, 1], [], "validation")])
def test_a_part_without_labelled_rows_is_refused(train_rows, valid_rows, name):
    split = ValidSplit([(train_rows, valid_rows)])
    with pytest.raises(ValueError, match=f"train_split leaves no labelled row for {name}"):
        split_labeled(split, make_dataset())


def test_validation_data_of_ones_own_without_labels_are_refused():
    with pytest.raises(ValueError, match="train_split leaves no labelled row for validation"):
        split_labeled(predefined_split(make_dataset(torch.full((3,), -1))), make_dataset())


def test_parts_that_are_no_subsets_are_refused():
    with pytest.raises(TypeError, match="train_split must return"):
        split_labeled(lambda dataset, y=None: ([1, 2], [3]), make_dataset())


@pytest.mark.parametrize("split", [ValidSplit(5), ValidSplit(2), ValidSplit(3, stratified=True), ValidSplit(0.2)])
@pytest.mark.parametrize("order", ["source first", "target first"])
def test_training_and_validation_work_whatever_the_order_of_the_rows(make_data, split, order):
    X, y, domain = make_data()
    if order == "target first":
        X, y, domain = X[::-1], y[::-1], domain[::-1]
    history = fitted((X, y, domain), split).net_.history
    assert len(history) == 2
    assert np.isfinite(history[:, ("train_loss", "valid_loss", "mcc_loss")]).all()


def test_string_labels_can_be_stratified(make_data):
    X, y, domain = make_data()
    names = np.array(["ant", "bee", "cat", None], dtype=object)[y]
    model = fitted((X, names, domain), ValidSplit(3, stratified=True))
    assert np.isfinite(model.net_.history[:, "valid_loss"]).all()
