"""TSF: its loss, what it supplies, and the regularisers of the SAGE paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of
from torch.nn import functional as F

from skada_active.deep import MCC, MME, TSF, AdaptationClassifier
from skada_active.deep.functional import transferability_loss
from skada_active.domains import resolve_roles
from skada_active.pool import snapshot
from skada_active.query import SAGE, sage_embedding

# Rows of the step: 6 of the source, 3 labelled ones of the target, 5 of the target batch.
SOURCE, TARGET = slice(0, 6), slice(9, 14)
FIELDS = {"proba", "features", "class_domain_grad", "class_discriminator"}


def expected_loss(module, step, target_proba):
    logit = module.discriminator(step.features)
    return transferability_loss(logit[SOURCE], logit[TARGET], F.one_hot(step.labels[SOURCE], 3).double(), target_proba)


def fitted(objective, data, **params):
    model = AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 16, "random_state": 0, **params})
    return model.fit(*data)


def view_of(model, data, fields=FIELDS):
    X, y, domain = data
    return snapshot(model, X, resolve_roles(y, domain), fields)


def test_the_loss_is_that_of_the_source_and_the_predicted_target():
    module, step = module_of(TSF(trade_off=0.3)), leaf_step()
    expected = 0.3 * expected_loss(module, step, step.logits[TARGET].softmax(dim=1))
    torch.testing.assert_close(module(step), expected)
    torch.testing.assert_close(0.3 * step.batch.terms["transferability_loss"], expected.detach())


def test_known_labels_take_the_place_of_predictions():
    module, step = module_of(TSF()), leaf_step(known=(1, 4))
    proba = step.logits[TARGET].softmax(dim=1)
    proba = torch.stack([F.one_hot(step.labels[9 + i], 3).double() if i in (1, 4) else proba[i] for i in range(5)])
    torch.testing.assert_close(module(step), expected_loss(module, step, proba))


def test_known_labels_may_be_left_out():
    module = module_of(TSF(use_target_labels=False))
    torch.testing.assert_close(module(leaf_step(known=(1, 4))), module(leaf_step()))


def test_the_labelled_target_rows_of_the_labelled_loss_take_no_part():
    step = leaf_step()
    module_of(TSF())(step).backward()
    assert not step.features.grad[6:9].any()
    assert step.features.grad[SOURCE].any()
    assert step.features.grad[TARGET].any()


def test_the_discriminator_learns_and_features_get_its_reversed_gradient():
    module, step = module_of(TSF(trade_off=0.5, schedule="constant", max_reversal=0.2)), leaf_step()
    module(step).backward()
    loss = 0.5 * expected_loss(module, step, step.logits[TARGET].softmax(dim=1).detach())
    by_features, *by_discriminator = torch.autograd.grad(loss, (step.features, *module.parameters()))
    torch.testing.assert_close(step.features.grad, -0.2 * by_features)
    for parameter, gradient in zip(module.parameters(), by_discriminator, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_predictions_are_constants_by_default():
    step = leaf_step()
    module_of(TSF())(step).backward()
    assert step.head.weight.grad is None


def test_predictions_play_against_the_discriminator_where_they_are_not_detached():
    module, step = module_of(TSF(schedule="constant", max_reversal=0.2, detach=False)), leaf_step()
    module(step).backward()
    loss = expected_loss(module, step, step.head(step.features[TARGET].detach()).softmax(dim=1))
    (by_head,) = torch.autograd.grad(loss, step.head.weight)
    torch.testing.assert_close(step.head.weight.grad, -0.2 * by_head)


@pytest.mark.parametrize(("schedule", "coefficient"), [("dann", 0.986614), ("tll", 0.336376), ("constant", 1.0)])
def test_the_reversal_follows_its_schedule(schedule, coefficient):
    gradients = []
    for objective in (TSF(schedule=schedule), TSF(schedule="constant")):
        step = leaf_step()
        module_of(objective)(step).backward()
        gradients.append(step.features.grad)
    torch.testing.assert_close(gradients[0], coefficient * gradients[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("hidden", "supplied"),
    [
        ((), {"class_domain_grad"}),
        ((8,), {"class_domain_grad", "class_discriminator"}),
        ([8], {"class_domain_grad", "class_discriminator"}),
        ((8, 8), {"class_domain_grad"}),
    ],
)
def test_parameters_are_supplied_with_one_hidden_layer_gradients_always(hidden, supplied):
    assert TSF(hidden=hidden).supplies == supplied
    assert (MCC() + TSF(hidden=hidden)).supplies == supplied


def test_what_is_supplied_is_the_trained_discriminator(make_data):
    data = make_data()
    model = fitted(TSF(hidden=(8,)), data)
    view = view_of(model, data)
    own = [parameter.detach().numpy() for parameter in model.net_.criterion_.objective.discriminator.parameters()]
    for part, parameter in zip(view.class_discriminator, own, strict=True):
        np.testing.assert_array_equal(part, parameter)
        assert not np.shares_memory(part, parameter)


def test_gradients_and_parameters_are_of_the_same_discriminator(make_data):
    data = make_data()
    view = view_of(fitted(TSF(hidden=(8,)), data), data)
    z = torch.tensor(view.features.astype(np.float64))
    w1, b1, w2, b2 = (torch.tensor(part.astype(np.float64)) for part in view.class_discriminator)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: -F.logsigmoid(w2 @ F.relu(w1 @ x + b1) + b2)))(z)
    rows = np.array([3, 0, 11, 3])
    np.testing.assert_allclose(view.class_domain_grad(rows), jacobian.numpy()[rows], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("field", ["class_domain_grad", "class_discriminator"])
def test_further_training_does_not_change_a_view(make_data, field):
    data = make_data()
    model = fitted(TSF(hidden=(8,)), data)
    view = view_of(model, data, {"proba", field})

    def read():
        value = getattr(view, field)
        return value(np.arange(len(view))) if callable(value) else np.concatenate([part.ravel() for part in value])

    before = read()
    model.partial_fit(*data)
    np.testing.assert_array_equal(read(), before)
    assert "features" not in vars(view)


@pytest.mark.parametrize("field", ["class_domain_grad", "class_discriminator"])
@pytest.mark.parametrize(
    ("objective", "change"), [(TSF(trade_off=0), {}), (TSF(), {"source": False}), (TSF(), {"epochs": 0})]
)
@pytest.mark.filterwarnings("ignore:objective=")
def test_an_untrained_discriminator_is_refused_with_a_remedy(make_data, field, objective, change):
    X, y, domain = make_data()
    if change.get("source") is False:
        X, y, domain = X[40:], y[40:], domain[40:]
    model = fitted(objective, (X, y, domain), max_epochs=change.get("epochs", 2))
    with pytest.raises(ValueError, match=r"discriminator is untrained.*rows of both.*trade_off > 0"):
        view_of(model, (X, y, domain), {field})


def test_what_was_trained_is_remembered_by_the_weights(make_data):
    model = fitted(TSF(), make_data())
    assert bool(model.net_.criterion_.state_dict()["objective.is_trained"])


# The regularisers of the paper: S+T, S∪T, and MME on normalised features.
REGULARISERS = {
    "S+T": (TSF(), {}),
    "joint": (TSF(), {"labeled_loss": "joint"}),
    "MME": (TSF() + MME(trade_off=0.1), {"head": "cosine", "head_temperature": 0.05}),
}


@pytest.mark.parametrize("name", REGULARISERS)
def test_every_regulariser_trains(make_data, name):
    X, y, _ = data = make_data()
    objective, params = REGULARISERS[name]
    model = fitted(objective, data, max_epochs=10, **params)
    known = y >= 0
    assert model.score(X[known], y[known]) > 0.9
    assert model.loss_terms_["transferability_loss"] > 0


def test_regularisers_give_different_models(make_data):
    data = make_data()
    proba = [fitted(objective, data, **params).predict_proba(data[0]) for objective, params in REGULARISERS.values()]
    assert not np.array_equal(proba[0], proba[1])
    assert not np.array_equal(proba[0], proba[2])


@pytest.mark.parametrize("hidden", [(), (8,), (8, 8)])
def test_sage_reads_a_discriminator_that_is_part_of_a_sum(make_data, hidden):
    data = make_data()
    model = fitted(TSF(hidden=hidden) + MME(trade_off=0.1), data)
    strategy = SAGE()
    view = strategy.view(model, *data[:2], resolve_roles(*data[1:]))
    assert ("class_discriminator" in vars(view)) is (len(hidden) == 1)
    assert len(strategy.select(view, 5)) == 5
    # Where a prediction is certain, or no hidden unit is active, there is nothing to gain.
    assert (strategy.utilities(view) > 0).mean() > 0.5


def test_sage_reads_the_gradients_at_the_embedding_that_a_cosine_head_normalises(make_data):
    data = make_data()
    model = fitted(TSF(hidden=(8,)) + MME(trade_off=0.1), data, head="cosine")
    strategy = SAGE()
    view = strategy.view(model, *data[:2], resolve_roles(*data[1:]))
    np.testing.assert_allclose(np.linalg.norm(view.features, axis=1), 1, rtol=1e-5)
    embedding = model.pool_outputs(data[0][view.index], {"embedding"})["embedding"]
    assert np.linalg.norm(embedding, axis=1).std() > 0.01
    gradients = model.pool_field("class_domain_grad")(embedding)
    np.testing.assert_allclose(view.class_domain_grad(np.arange(len(view))), gradients, rtol=1e-5)
    expected = sage_embedding(view.proba, embedding, gradients).sq_norms() ** 0.5
    np.testing.assert_allclose(strategy.utilities(view), expected, rtol=1e-4)
