"""CDAN: what its discriminator reads, who gets gradients, and wide products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steps import leaf_step, module_of

from skada_active.deep import CDAN, AdaptationClassifier
from skada_active.deep.functional import cdan_loss, multilinear_map


@pytest.mark.parametrize("entropy_weighted", [False, True])
def test_the_loss_is_the_function_of_the_blocks(entropy_weighted):
    module, step = module_of(CDAN(entropy_weighted=entropy_weighted, trade_off=0.3)), leaf_step()
    proba = step.logits.softmax(dim=1)
    expected = cdan_loss(
        *(step.features[:6], step.features[9:], proba[:6], proba[9:]),
        module.discriminator,
        entropy_weighted=entropy_weighted,
    )
    torch.testing.assert_close(module(step), 0.3 * expected)
    torch.testing.assert_close(step.batch.terms["domain_loss"], expected.detach())


@pytest.mark.parametrize("entropy_weighted", [False, True])
def test_predictions_get_no_gradient(entropy_weighted):
    module, step = module_of(CDAN(entropy_weighted=entropy_weighted)), leaf_step()
    assert torch.autograd.grad(module(step), step.logits, allow_unused=True) == (None,)


def test_features_get_the_reversed_gradient_and_the_discriminator_the_plain_one():
    gradients = []
    for reversal in (-1.0, 0.3):
        module, step = module_of(CDAN(max_reversal=reversal, schedule="constant")), leaf_step()
        gradients.append(torch.autograd.grad(module(step), [step.features, *module.parameters()]))
    torch.testing.assert_close(gradients[1][0], -0.3 * gradients[0][0])
    torch.testing.assert_close(gradients[1][1:], gradients[0][1:])


def test_labelled_target_rows_take_no_part():
    step = leaf_step()
    module_of(CDAN())(step).backward(inputs=[step.features])
    assert step.features.grad.any(dim=1).tolist() == [True] * 6 + [False] * 3 + [True] * 5


@pytest.mark.parametrize(
    ("schedule", "coefficient"), [("dann", 2 / (1 + np.exp(-5)) - 1), ("tll", np.tanh(0.35)), ("constant", 1.0)]
)
def test_the_schedule_scales_the_reversal(schedule, coefficient):
    gradients = []
    for params in ({"schedule": schedule}, {"schedule": "constant", "max_reversal": -1.0}):
        step = leaf_step()  # half way, after 700 iterations
        gradients.append(torch.autograd.grad(module_of(CDAN(**params))(step), step.features)[0])
    torch.testing.assert_close(gradients[0], -coefficient * gradients[1], rtol=1e-6, atol=1e-12)


def test_the_source_logit_is_the_discriminators_of_the_product():
    module, step = module_of(CDAN(hidden=(5,))), leaf_step()
    with pytest.raises(ValueError, match="untrained"):
        module.source_logit(step.features, step.logits)
    module(step)
    expected = module.discriminator(multilinear_map(step.features, step.logits.softmax(dim=1)))[:, 0]
    torch.testing.assert_close(module.source_logit(step.features, step.logits), expected)


@pytest.mark.parametrize(("n_features", "width"), [(1024, 4096), (1025, 1024)])
def test_products_of_more_than_4096_numbers_are_mapped_to_1024(n_features, width):
    module = module_of(CDAN(hidden=()), n_features, 4)
    assert module.discriminator[0].weight.shape == (1, width)
    proba = torch.full((2, 4), 0.25, dtype=torch.float64)
    assert module.product(torch.ones(2, n_features, dtype=torch.float64), proba).shape == (2, width)


def test_the_random_map_keeps_inner_products_on_average():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 1025, generator=generator, dtype=torch.float64)
    features[1] += features[0]
    proba = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.4, 0.1, 0.1]], dtype=torch.float64)
    exact = multilinear_map(features, proba)
    estimates = []
    for seed in range(20):
        torch.manual_seed(seed)
        mapped = CDAN().build(1025, 4, 2).double().product(features, proba)
        estimates.append([(mapped[0] @ mapped[1]).item(), (mapped[0] @ mapped[0]).item()])
    expected = [(exact[0] @ exact[1]).item(), (exact[0] @ exact[0]).item()]
    np.testing.assert_allclose(np.mean(estimates, axis=0), expected, rtol=0.1)


def test_the_random_map_is_not_trained_and_goes_with_the_state():
    module = module_of(CDAN(), 1025, 4)
    assert {"map.of_features", "map.of_proba"} <= set(module.state_dict())
    assert not any(name.startswith("map") for name, _ in module.named_parameters())


@pytest.fixture(autouse=True)
def _restore_generator():
    with torch.random.fork_rng([]):
        yield


def test_without_reversal_the_logit_tells_the_domains_apart(make_data):
    X, y, domain = make_data()
    X[domain < 0, 3] += 3
    model = AdaptationClassifier(CDAN(max_reversal=0.0), max_epochs=8, batch_size=16, random_state=0).fit(X, y, domain)
    logit = model.domain_logit(X)
    assert (logit[domain > 0][:, None] > logit[domain < 0]).mean() > 0.9
