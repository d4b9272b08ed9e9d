from __future__ import annotations

import math

import numpy as np
import pytest
import steps
import torch
from steps import domain_step
from torch.nn import functional as F

from skada_active.datasets import make_multi_source_blobs
from skada_active.deep import DANN, AdaptationClassifier
from skada_active.deep.functional import domain_adversarial_loss
from skada_active.domains import mask_target

SEVERAL = ["per_source", "multiclass"]
N_SOURCES = 3


def module_of(discriminator, n_domains=N_SOURCES + 1, **params):
    return steps.module_of(DANN(discriminator=discriminator, hidden=(5,), **params), n_domains=n_domains)


def gradients_of(module, step):
    loss = module(step)
    parameters = list(module.parameters())
    features, *others = torch.autograd.grad(loss, [step.features, *parameters])
    return loss, features, others


def test_per_source_with_one_source_is_binary():
    binary, per_source = (
        gradients_of(module_of(kind, 2), domain_step([0] * 5, [1] * 3)) for kind in ("binary", "per_source")
    )
    torch.testing.assert_close(per_source[:2], binary[:2])
    # The plain network has its weights and biases in turn, the parallel one all weights first.
    by_layer = [binary[2][position] for position in (0, 2, 1, 3)]
    for gradient, expected in zip(per_source[2], by_layer, strict=True):
        torch.testing.assert_close(gradient[0].view_as(expected), expected)


def test_multiclass_with_one_source_is_binary_on_the_difference_of_the_outputs():
    module, step = module_of("multiclass", 2), domain_step([0] * 5, [1] * 3)
    outputs = module.discriminator(step.features)
    logit = outputs[:, 0] - outputs[:, 1]
    torch.testing.assert_close(module(step), domain_adversarial_loss(logit[:5], logit[7:]))


def test_per_source_is_the_mean_over_the_sources_against_the_target():
    module, step = module_of("per_source", trade_off=0.5), domain_step()
    logit = module.discriminators(step.features.expand(3, -1, -1))
    sources = [[0, 3, 5, 6], [2], [1, 4]]
    losses = [domain_adversarial_loss(logit[s, rows], logit[s, 9:]) for s, rows in enumerate(sources)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(module(step), 0.5 * expected)
    torch.testing.assert_close(step.batch.terms["domain_loss"], expected.detach())


def test_multiclass_is_the_cross_entropy_of_domains_that_count_the_same():
    module, step = module_of("multiclass"), domain_step()
    losses = -module.discriminator(step.features).log_softmax(1)
    rows = [[0, 3, 5, 6], [2], [1, 4], [9, 10, 11]]
    expected = sum(losses[domain, position].mean() for position, domain in enumerate(rows)) / 4
    torch.testing.assert_close(module(step), expected)


@pytest.mark.parametrize("kind", SEVERAL)
def test_features_get_the_reversed_gradient(kind):
    plain, reversed_ = (
        gradients_of(module_of(kind, max_reversal=value, schedule="constant"), domain_step()) for value in (-1.0, 0.3)
    )
    torch.testing.assert_close(reversed_[1], -0.3 * plain[1])
    torch.testing.assert_close(reversed_[2], plain[2])


@pytest.mark.parametrize("name", ["logits", "proba"])
def test_the_discriminator_reads_what_the_classifier_says(name):
    module, step = module_of("binary", discriminator_input=name), domain_step()
    inputs = step.logits if name == "logits" else step.logits.softmax(1)
    logit = module.discriminator(inputs)[:, 0]
    torch.testing.assert_close(module(step), domain_adversarial_loss(logit[:7], logit[9:]))
    torch.testing.assert_close(module.source_logit(step.features, step.logits), logit)


@pytest.mark.parametrize("kind", ["binary", *SEVERAL])
def test_the_classifier_is_played_against_where_it_is_read(kind):
    def gradient(name, sign):
        params = {"discriminator_input": name, "max_reversal": sign, "schedule": "constant"}
        module, step = module_of(kind, **params), domain_step()
        return torch.autograd.grad(module(step), step.logits, allow_unused=True)[0]

    assert gradient("features", 1.0) is None
    torch.testing.assert_close(gradient("proba", 1.0), -gradient("proba", -1.0))
    assert gradient("proba", 1.0)[:7].any()


@pytest.mark.parametrize("kind", ["binary", *SEVERAL])
def test_labelled_target_rows_take_no_part(kind):
    _, gradient, _ = gradients_of(module_of(kind), domain_step())
    assert not gradient[7:9].any()
    assert gradient[:7].any(1).all()
    assert gradient[9:].any(1).all()


def test_a_source_that_the_batch_lacks_leaves_its_discriminator_alone():
    module, step = module_of("per_source"), domain_step([0, 0, 2])
    logit = module.discriminators(step.features.expand(3, -1, -1))
    expected = (
        domain_adversarial_loss(logit[0, :2], logit[0, 5:]) + domain_adversarial_loss(logit[2, 2:3], logit[2, 5:])
    ) / 2
    loss, _, gradients = gradients_of(module, step)
    torch.testing.assert_close(loss, expected)
    assert not any(gradient[1].any() for gradient in gradients)


def test_a_source_that_never_came_is_no_choice_of_the_domain_classifier():
    module, step = module_of("multiclass"), domain_step([0, 0, 2])
    logits = module.discriminator(step.features)[:, [0, 2, 3]]
    losses = F.cross_entropy(logits[[0, 1, 2, 5, 6, 7]], torch.tensor([0, 0, 1, 2, 2, 2]), reduction="none")
    torch.testing.assert_close(module(step), (losses[:2].mean() + losses[2] + losses[3:].mean()) / 3)


def test_a_source_that_came_before_stays_a_choice_of_the_domain_classifier():
    module = module_of("multiclass")
    module(domain_step())
    step = domain_step([0, 0, 2])
    losses = -module.discriminator(step.features).log_softmax(1)
    torch.testing.assert_close(module(step), (losses[:2, 0].mean() + losses[2, 2] + losses[5:, 3].mean()) / 3)


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_targets_are_one(kind):
    one, two = (gradients_of(module_of(kind, 5), domain_step(target=domain)) for domain in ((3, 3, 3), (3, 4, 3)))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_the_logit_of_per_source_is_that_of_the_mixture_of_the_sources():
    module, step = module_of("per_source"), domain_step()
    module(step)
    odds = module.discriminators(step.features.expand(3, -1, -1)).exp()
    torch.testing.assert_close(module.source_logit(step.features, step.logits), odds.mean(0).log())


def test_the_logit_of_multiclass_is_that_of_the_sum_over_the_sources():
    module, step = module_of("multiclass"), domain_step()
    module(step)
    proba = module.discriminator(step.features).softmax(1)
    torch.testing.assert_close(module.source_logit(step.features, step.logits), proba[:, :3].sum(1).logit())


@pytest.mark.parametrize("kind", SEVERAL)
def test_sources_that_never_came_are_left_out_of_the_logit(kind):
    module, step = module_of(kind), domain_step([0, 0, 2])
    module(step)
    assert module.is_trained.tolist() == [True, False, True]
    logit = module.source_logit(step.features, step.logits)
    if kind == "per_source":
        odds = module.discriminators(step.features.expand(3, -1, -1))[[0, 2]]
        torch.testing.assert_close(logit, odds.logsumexp(0) - math.log(2))
    else:
        outputs = module.discriminator(step.features)
        torch.testing.assert_close(logit, outputs[:, [0, 2]].logsumexp(1) - outputs[:, 3])


@pytest.mark.parametrize("kind", ["binary", *SEVERAL])
@pytest.mark.parametrize("trade_off", [0.0, 1.0])
def test_an_untrained_discriminator_has_no_logit(kind, trade_off):
    module, step = module_of(kind, trade_off=trade_off), domain_step()
    if trade_off == 0.0:
        module(step)
    with pytest.raises(ValueError, match="untrained"):
        module.source_logit(step.features, step.logits)


@pytest.mark.parametrize("kind", ["binary", *SEVERAL])
def test_without_reversal_the_logit_tells_the_sources_from_the_target(kind):
    X, y, sample_domain = make_multi_source_blobs(random_state=0)
    model = AdaptationClassifier(DANN(discriminator=kind, max_reversal=0.0), max_epochs=20, random_state=0)
    model.fit(X, mask_target(y, sample_domain), sample_domain)
    logit = model.domain_logit(X)
    is_source = sample_domain > 0
    # The area under the ROC curve: a source row has the higher logit.
    assert (logit[is_source][:, None] > logit[~is_source][None]).mean() > 0.75


@pytest.mark.parametrize("kind", SEVERAL)
def test_training_goes_on_with_rows_of_some_domains(kind):
    X, y, sample_domain = make_multi_source_blobs(random_state=0)
    known = mask_target(y, sample_domain)
    model = AdaptationClassifier(DANN(discriminator=kind), max_epochs=2, random_state=0).fit(X, known, sample_domain)
    some = (sample_domain < 0) | (sample_domain == sample_domain.max())
    model.partial_fit(X[some], known[some], sample_domain[some])
    assert np.isfinite(model.domain_logit(X)).all()
