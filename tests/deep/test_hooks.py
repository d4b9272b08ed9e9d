"""Hooks of objectives, statistics by domain, and what rows go through in training."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from steps import leaf_step
from torch import nn

from skada_active.deep import MCC, AdaptationClassifier, Objective, ObjectiveTerm, Phase
from skada_active.deep._module import AdaptationCriterion
from skada_active.domains import resolve_roles
from skada_active.pool import snapshot


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    y = np.arange(50) % 2
    X[:, 0] += 3 * y
    y[34:] = -1
    return X, y, np.repeat([1, -1], [30, 20])


class Hooked(ObjectiveTerm):
    """Term that takes notes of how it is called."""

    def attach(self, network):
        self.copy = copy.deepcopy(network).requires_grad_(False)
        self.weight = nn.Parameter(torch.ones(()))

    def prepare(self, step):
        step.weigh_source(torch.arange(step.n_source) % 2, domains=True)
        NOTES.append(("prepare", step.n_source, step.labeled_weight.tolist()))

    def loss(self, step):
        NOTES.append(("loss", step.source_importance.tolist(), len(step.rows)))
        return 0 * step.features[step.target].sum()

    def phases(self, network):
        return [Phase(self.raise_entropy, [*network.head.parameters(), self.weight], n_steps=3)]

    def raise_entropy(self, step):
        NOTES.append(("phase", len(step.inputs), step.n_target))
        proba = step.logits.softmax(dim=1)
        return self.weight * (proba * proba.log()).sum(dim=1).mean()


class WithHooks(Objective):
    """Objective whose module uses every hook."""

    def build(self, n_features, n_classes, n_domains):
        return Hooked(self)


NOTES = []


def test_hooks_of_an_objective_are_called_around_the_total_loss(data):
    NOTES.clear()
    model = AdaptationClassifier(MCC(trade_off=0.0) + WithHooks(), max_epochs=1, random_state=0).fit(*data)
    kinds = [note[0] for note in NOTES]
    assert kinds == ["prepare", "loss", "phase", "phase", "phase"] * 10
    n_source = NOTES[0][1]
    assert NOTES[0][2][:n_source] == [row % 2 for row in range(n_source)]
    assert set(NOTES[0][2][n_source:]) == {1.0}
    assert NOTES[1][1] == NOTES[0][2][:n_source]
    assert model.net_.clock_.iteration == 10


def test_a_phase_trains_its_parameters_and_nothing_else(data):
    # Source rows without weight: no labelled loss moves the network, and the phase moves the head alone.
    model = AdaptationClassifier(WithHooks(), optimizer="sgd", weight_decay=0.0, source_weight=0.0, random_state=0)
    unlabeled = np.where(data[2] > 0, data[1], -1)
    model.set_params(max_epochs=0).fit(data[0], unlabeled, data[2])
    before = {name: value.clone() for name, value in model.net_.module_.named_parameters()}
    model.partial_fit(data[0], unlabeled, data[2])
    changed = {name for name, value in model.net_.module_.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_an_objective_without_weight_has_no_hooks(data):
    NOTES.clear()
    AdaptationClassifier(WithHooks(trade_off=0.0), max_epochs=1, random_state=0)
    assert NOTES == []


def test_what_is_attached_is_saved_and_not_trained(data):
    model = AdaptationClassifier(WithHooks(), max_epochs=2, random_state=0).fit(*data)
    attached = model.net_.criterion_.objective.copy
    assert not torch.equal(attached.head.weight, model.net_.module_.head.weight)
    twin = pickle.loads(pickle.dumps(model)).net_.criterion_.objective.copy
    assert torch.equal(twin.head.weight, attached.head.weight)


def test_weights_of_source_rows_enter_the_labelled_loss_as_weights(data):
    step = leaf_step(3, 2, 0)
    step.weigh_source(torch.tensor([0.0, 1.0, 3.0]))
    losses = nn.functional.cross_entropy(step.logits, step.labels, reduction="none")
    expected = (losses[1] + 3 * losses[2]) / 4 + losses[3:].mean()
    torch.testing.assert_close(AdaptationCriterion.labeled_loss(step), expected)
    assert step.source_importance is None


class Recording(nn.Linear):
    """Layer that notes the numbers of rows that it sees in training, behind batch normalisation."""

    def forward(self, rows):
        if self.training and torch.is_grad_enabled():
            NOTES.append(len(rows))
        return super().forward(rows)


def test_domains_pass_apart_where_their_statistics_are_apart(data):
    seen = {}
    for statistics in ("mixed", "per_domain"):
        NOTES.clear()
        module = nn.Sequential(nn.BatchNorm1d(data[0].shape[1]), Recording(data[0].shape[1], 4))
        AdaptationClassifier(
            MCC(), module=module, batch_statistics=statistics, batch_size=8, max_epochs=1, random_state=0
        ).fit(*data)
        seen[statistics] = list(NOTES)
    n_rows, n_source = seen["mixed"][0], 8
    assert set(seen["mixed"]) == {n_rows}
    assert seen["per_domain"] == [n_source, n_rows - n_source] * 10


def test_rows_pass_through_the_train_transform_in_training_alone(data):
    shapes = []

    def shifted(rows):
        shapes.append(tuple(rows.shape))
        return rows + 1000

    plain, moved = (
        AdaptationClassifier(MCC(), standardize=False, train_transform=transform, max_epochs=1, random_state=0).fit(
            *rows, *data[1:]
        )
        for transform, rows in ((None, [data[0] + np.float32(1000)]), (shifted, [data[0]]))
    )
    assert {shape[1:] for shape in shapes} == {data[0].shape[1:]}
    n_calls = len(shapes)
    np.testing.assert_allclose(plain.predict_proba(data[0]), moved.predict_proba(data[0]), atol=1e-5)
    assert len(shapes) == n_calls == 10


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda rows: rows[1:], ValueError),
        (lambda rows: rows[:, 1:], ValueError),
        (lambda rows: rows.numpy(), TypeError),
    ],
    ids=["fewer rows", "fewer columns", "an array"],
)
@pytest.mark.parametrize("name", ["train_transform", "augmentation"])
def test_what_changes_rows_returns_a_tensor_of_their_shape(data, name, change, error):
    with pytest.raises(error, match=f"^{name} must return"):
        AdaptationClassifier(max_epochs=1, **{name: change}).fit(*data)


def test_a_train_transform_may_return_doubles(data):
    plain, doubled = (
        AdaptationClassifier(train_transform=transform, max_epochs=1, random_state=0).fit(*data)
        for transform in (None, torch.Tensor.double)
    )
    assert np.array_equal(plain.predict_proba(data[0]), doubled.predict_proba(data[0]))


def committee_of(data, **params):
    model = AdaptationClassifier(n_heads=3, max_epochs=10, random_state=0, **params).fit(*data)
    return model, model.pool_outputs(data[0], {"logits", "committee_logits", "committee_proba"})


def test_a_committee_of_heads_is_as_right_as_the_head_and_of_different_minds(data):
    y = data[1]
    model, outputs = committee_of(data)
    assert outputs["committee_logits"].shape == (3, 50, 2)
    known = y >= 0
    votes = outputs["committee_logits"].argmax(axis=2)
    assert ((votes[:, known] == y[known]).mean(axis=1) > 0.9).all()
    assert (outputs["committee_proba"].std(axis=0) > 0).all()
    assert model.loss_terms_["committee_loss"] < np.log(2)


def test_a_committee_does_not_train_the_network(data):
    model, _ = committee_of(data, module=nn.Linear(4, 3))
    assert model.net_.criterion_.committee.weight.shape == (6, 3)
    step = leaf_step(2, 2, 0, head=nn.Linear(3, 2))
    loss = model.net_.criterion_.committee.loss(step)
    assert torch.autograd.grad(loss, step.features, allow_unused=True)[0] is None


def test_a_committee_is_a_field_of_the_pool(data):
    X, y, sample_domain = data
    model, outputs = committee_of(data)
    view = snapshot(model, X, resolve_roles(y, sample_domain), {"committee_logits", "committee_proba", "proba"})
    assert view.committee_logits.shape == (3, 16, 2)
    np.testing.assert_allclose(view.committee_logits[:, 0], outputs["committee_logits"][:, view.index[0]], rtol=1e-6)
    with pytest.raises(ValueError, match="n_heads=5"):
        snapshot(AdaptationClassifier(), X, resolve_roles(y, sample_domain), {"committee_proba"})


class Noting(nn.BatchNorm1d):
    """Batch normalisation that notes the numbers of rows that it sees in training."""

    def forward(self, rows):
        if self.training:
            NOTES.append(len(rows))
        return super().forward(rows)


@pytest.mark.parametrize(("statistics", "passes"), [("mixed", [20]), ("per_domain", [8, 12])])
def test_the_views_of_a_committee_pass_as_the_step_did_and_leave_running_statistics_alone(data, statistics, passes):
    NOTES.clear()
    params = {"batch_statistics": statistics, "batch_size": 8, "max_epochs": 1, "random_state": 0}
    model = AdaptationClassifier(MCC(), module=Noting(4), n_heads=3, augmentation=torch.clone, **params).fit(*data)
    assert passes * (1 + 3) * 10 == NOTES
    assert model.net_.module_.backbone.num_batches_tracked == 10 * len(passes)


def test_a_committee_is_trained_where_a_step_has_one_labelled_row(data):
    X, y, sample_domain = data
    rows = np.r_[:2, 34:50]
    data = X[rows], y[rows], sample_domain[rows]
    _, outputs = committee_of(data, objective=MCC(), augmentation=torch.clone, batch_size=1)
    assert np.isfinite(outputs["committee_logits"]).all()


def test_each_head_sees_a_view_of_its_own_where_there_is_an_augmentation(data):
    calls = []

    def noted(rows):
        calls.append(len(rows))
        return rows + torch.randn_like(rows)

    committee_of(data, augmentation=noted, batch_size=8)
    # A view of the labelled target rows for all, and one of all labelled rows for each of three heads.
    assert calls[:4] == [4, 12, 12, 12]
    assert len(calls) == 4 * 10 * 10
