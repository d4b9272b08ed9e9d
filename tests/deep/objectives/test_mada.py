"""MADA: its loss, who gets gradients, and the source logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import MADA, AdaptationClassifier
from skada_active.deep.functional import multi_adversarial_loss

N_SOURCE, N_LABELED = 6, 9


def discriminate(module, row, c):
    """Return P(source) of a row (D,) by the discriminator of a class, computed layer by layer."""
    block = module.discriminators.blocks[0]
    hidden = (block.weights[0][c] @ row + block.biases[0][c, 0]).clamp_min(0)
    return (block.weights[1][c] @ hidden + block.biases[1][c, 0]).sigmoid()[0]


def losses_of(step, blocks, loss):
    features, proba = step.features, step.logits.softmax(dim=1)
    return loss(features[blocks[0]], features[blocks[1]], proba[blocks[0]], proba[blocks[1]])


def test_the_loss_equals_a_loop_over_classes_and_rows():
    module, step = module_of(MADA(hidden=(5,), trade_off=0.3)), leaf_step()
    proba = step.logits.softmax(dim=1)
    expected = 0.0
    for c in range(3):
        source = [-discriminate(module, proba[i, c] * step.features[i], c).log().item() for i in range(N_SOURCE)]
        target = [
            -(1 - discriminate(module, proba[i, c] * step.features[i], c)).log().item() for i in range(N_LABELED, 14)
        ]
        expected += (sum(source) / len(source) + sum(target) / len(target)) / 6
    assert module(step).item() == pytest.approx(0.3 * expected, abs=1e-12)
    assert step.batch.terms["domain_loss"].item() == pytest.approx(expected, abs=1e-12)


def test_the_loss_is_the_function_of_the_blocks():
    module, step = module_of(MADA()), leaf_step()
    expected = losses_of(
        step, (step.source, step.target), lambda *blocks: multi_adversarial_loss(*blocks, module.discriminators)
    )
    torch.testing.assert_close(module(step), expected)


def test_features_get_the_reversed_gradient_and_discriminators_the_plain_one():
    step = leaf_step()
    gradients = []
    for reversal in (-1.0, 0.3):
        module = module_of(MADA(max_reversal=reversal, schedule="constant"))
        gradients.append(torch.autograd.grad(module(step), [step.features, *module.parameters()], retain_graph=True))
    torch.testing.assert_close(gradients[1][0], -0.3 * gradients[0][0])
    torch.testing.assert_close(gradients[1][1:], gradients[0][1:])


@pytest.mark.parametrize("detach", [True, False])
def test_predictions_play_against_the_discriminators_only_if_they_are_not_detached(detach):
    def gradient(reversal):
        module, step = module_of(MADA(detach=detach, max_reversal=reversal, schedule="constant")), leaf_step()
        return torch.autograd.grad(module(step), step.logits, allow_unused=True)[0]

    if detach:
        assert gradient(0.5) is None
    else:
        torch.testing.assert_close(gradient(0.5), -0.5 * gradient(-1.0))
        assert gradient(0.5)[:N_SOURCE].any()


def test_labelled_target_rows_take_no_part():
    step = leaf_step()
    module_of(MADA())(step).backward()
    assert step.features.grad[:N_SOURCE].any(1).all()
    assert step.features.grad[N_LABELED:].any(1).all()
    assert not step.features.grad[N_SOURCE:N_LABELED].any()


def test_the_source_logit_is_that_of_the_mean_over_the_classes():
    module, step = module_of(MADA(hidden=(5,))), leaf_step()
    with pytest.raises(ValueError, match="untrained"):
        module.source_logit(step.features, step.logits)
    module(step)
    proba = step.logits.softmax(dim=1)
    mixed = torch.stack(
        [
            sum(proba[i, c] * discriminate(module, proba[i, c] * step.features[i], c) for c in range(3))
            for i in range(14)
        ]
    )
    torch.testing.assert_close(module.source_logit(step.features, step.logits), mixed.logit())


def test_the_source_logit_of_sure_discriminators_is_finite():
    module, step = module_of(MADA(hidden=())), leaf_step()
    module(step)
    logit = module.source_logit(1e4 * step.features, 100 * step.logits)
    assert logit.isfinite().all()
    assert logit.abs().max() > 100


def test_without_reversal_the_logit_tells_the_domains_apart(make_data):
    X, y, domain = make_data()
    X[domain < 0, 3] += 3
    model = AdaptationClassifier(MADA(max_reversal=0.0), max_epochs=10, batch_size=16, random_state=0).fit(X, y, domain)
    logit = model.domain_logit(X)
    assert (logit[domain > 0][:, None] > logit[domain < 0]).mean() > 0.9


def test_every_class_has_its_discriminator_for_several_sources(make_data):
    X, y, _ = make_data()
    domain = np.repeat([1, 2, -1], [20, 20, 24])
    model = AdaptationClassifier(MADA(), max_epochs=1, random_state=0).fit(X, y, domain)
    assert model.net_.criterion_.objective.discriminators.sizes == [3]
    assert np.isfinite(model.domain_logit(X)).all()
