from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from steps import leaf_step, make_network, module_of
from torch import nn
from torch.nn import functional as F

from skada_active.deep import (
    DANN,
    GSDA,
    M3SDA,
    MCC,
    MME,
    TSF,
    AdaptationClassifier,
    MarginLoss,
    Objective,
    ObjectiveSum,
    ObjectiveTerm,
)
from skada_active.deep.functional import domain_adversarial_loss, margin_loss, minimum_class_confusion_loss
from skada_active.deep.objectives._adversarial import DomainTerm
from skada_active.networks import CosineHead


def make_data(sources=(1,), targets=(-1,), seed=0):
    """Return two classes in each of the domains, shifted against one another; every fifth target row is labelled."""
    rng = np.random.default_rng(seed)
    domain = np.repeat([*sources, *targets], 24)
    X = rng.normal(size=(len(domain), 3)).astype(np.float32)
    y = np.arange(len(domain)) % 2
    X[:, 0] += 4 * y
    X[:, 1] += domain
    y[(domain < 0) & (np.arange(len(y)) % 5 > 0)] = -1
    return X, y, domain


def fitted(objective=None, data=None, **params):
    model = AdaptationClassifier(objective, **{"max_epochs": 2, "batch_size": 8, "random_state": 0, **params})
    return model.fit(*(make_data() if data is None else data))


def proba(*args, **params):
    return fitted(*args, **params).predict_proba(make_data()[0])


def make_head():
    return make_network(scale=1.0).head


ALL = [
    None,
    MarginLoss(),
    MarginLoss(dynamic=True),
    MME(),
    MCC(),
    DANN(),
    DANN(discriminator="per_source"),
    DANN(discriminator="multiclass"),
    TSF(),
    M3SDA(),
    GSDA(),
    MarginLoss() + MME() + DANN() + MCC() + M3SDA() + GSDA() + TSF(),
]
IDS = [
    "none",
    "margin",
    "dynamic margin",
    "mme",
    "mcc",
    "dann",
    "dann per source",
    "multiclass dann",
    "tsf",
    "m3sda",
    "gsda",
    "sum",
]
every_objective = pytest.mark.parametrize("objective", ALL, ids=IDS)


@every_objective
def test_objective_learns_what_the_labels_say(objective):
    X, y, _ = make_data()
    known = y >= 0
    assert fitted(objective, max_epochs=10).score(X[known], y[known]) > 0.9


@every_objective
@pytest.mark.filterwarnings("ignore:objective=")
def test_source_only_training_works(objective):
    X, y, _ = make_data(targets=())
    assert fitted(objective, (X, y)).score(X, y) > 0.5


@every_objective
@pytest.mark.filterwarnings("ignore:objective=")
def test_target_only_training_works_or_says_what_it_needs(objective):
    X, y, domain = make_data(sources=())
    parts = [part for _, part in getattr(objective, "objectives", [("", objective)])]
    if any(part is not None and part.needs_source for part in parts):
        with pytest.raises(ValueError, match="there is no source row"):
            fitted(objective, (X, y, domain))
        return
    assert np.isfinite(fitted(objective, (X, y, domain)).predict_proba(X)).all()


@every_objective
def test_several_sources_and_targets_work(objective):
    data = make_data((1, 2, 5), (-1, -3))
    model = fitted(objective, data)
    assert model.domains_.tolist() == [1, 2, 5, -3, -1]
    assert np.isfinite(model.predict_proba(data[0])).all()


@every_objective
def test_a_target_without_any_label_works(objective):
    X, y, domain = make_data()
    y[domain < 0] = -1
    assert np.isfinite(fitted(objective, (X, y, domain)).predict_proba(X)).all()


@every_objective
def test_a_target_with_all_labels_works(objective):
    X, _, domain = make_data()
    data = (X, np.arange(len(X)) % 2, domain)
    assert np.isfinite(fitted(objective, data, unlabeled_pool="unlabeled").predict_proba(X)).all()


@every_objective
def test_one_source_row_and_one_target_row_work(objective):
    data = (np.eye(2, dtype=np.float32), np.array([0, -1]), [1, -1])
    assert np.isfinite(fitted(objective, data).predict_proba(data[0])).all()


@every_objective
def test_joint_training_works(objective):
    assert np.isfinite(proba(objective, labeled_loss="joint")).all()


CHANGES = [
    (MarginLoss(), {"margin": 0.5}),
    (MarginLoss(), {"dynamic": True}),
    (MarginLoss(), {"max_logit": True}),
    (MarginLoss(dynamic=True), {"max_logit": False}),
    (MarginLoss(), {"normalize_logits": False}),
    (MarginLoss(), {"reduction": "sum"}),
    (MarginLoss(dynamic=True), {"detach_alpha": True}),
    (MarginLoss(), {"trade_off": 0.3}),
    (MME(), {"trade_off": 1.0}),
    (MCC(), {"temperature": 1.0}),
    (MCC(), {"trade_off": 0.3}),
    (DANN(), {"trade_off": 0.3}),
    (DANN(), {"schedule": "tll"}),
    (DANN(), {"schedule": "constant"}),
    (DANN(), {"max_reversal": 0.1}),
    (DANN(), {"hidden": (8,)}),
    (DANN(), {"hidden": ()}),
    (DANN(), {"discriminator": "multiclass"}),
    (DANN(), {"discriminator_input": "logits"}),
    (DANN(), {"discriminator_input": "proba"}),
    (TSF(), {"trade_off": 0.3}),
    (TSF(), {"schedule": "tll"}),
    (TSF(), {"schedule": "constant"}),
    (TSF(), {"max_reversal": 0.1}),
    (TSF(), {"hidden": (8,)}),
    (TSF(), {"hidden": ()}),
    (TSF(), {"use_target_labels": False}),
    (TSF(), {"detach": False}),
    (M3SDA(), {"n_moments": 1}),
    (M3SDA(), {"trade_off": 0.3}),
    (GSDA(), {"alpha": 1.0}),
    (GSDA(), {"beta": 0.0}),
    (GSDA(), {"n_groups": 2}),
    (GSDA(), {"levels": ("domain",)}),
    (GSDA(), {"hidden": (8,)}),
    (GSDA(), {"schedule": "tll"}),
    (GSDA(), {"schedule": "constant"}),
    (GSDA(), {"max_reversal": 0.1}),
    (GSDA(), {"trade_off": 0.3}),
    (GSDA(n_groups=2), {"syn_reduction": "mean"}),
    (GSDA(), {"confidence_threshold": 0.5}),
    (GSDA(), {"class_balanced": False}),
    (GSDA(n_groups=2), {"random_state": 0}),
]


def test_every_parameter_of_every_objective_is_in_the_table():
    listed = {(type(objective), name) for objective, change in CHANGES for name in change}
    assert listed == {
        (kind, name) for kind in (MarginLoss, MME, MCC, DANN, TSF, M3SDA, GSDA) for name in kind().get_params()
    }


@pytest.mark.parametrize(("objective", "change"), CHANGES, ids=lambda value: str(value))
def test_every_parameter_changes_the_model(objective, change):
    before = clone(objective)
    after = clone(objective).set_params(**change)
    assert not np.array_equal(proba(before, optimizer="sgd"), proba(after, optimizer="sgd"))


@pytest.mark.parametrize("objective", ALL[1:], ids=IDS[1:])
def test_every_objective_changes_the_model(objective):
    assert not np.array_equal(proba(objective), proba(None))


@pytest.mark.parametrize(("head", "kind"), [("linear", nn.Linear), ("cosine", CosineHead)])
def test_minimax_entropy_works_with_either_head(head, kind):
    model = fitted(MME(), head=head)
    assert isinstance(model.net_.module_.head, kind)
    assert np.isfinite(model.predict_proba(make_data()[0])).all()


def test_margin_is_averaged_over_the_roles_like_the_labelled_loss():
    step = leaf_step(source_weight=0.5)
    losses = margin_loss(step.logits[:9], step.labels[:9], margin=0.7)
    expected = 2.0 * (0.5 * losses[:6].mean() + losses[6:].mean())
    torch.testing.assert_close(module_of(MarginLoss(margin=0.7, trade_off=2.0))(step), expected)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_equations_of_the_margin_loss_can_be_trained_as_they_are_written(dynamic):
    # Eq. 1 and Eq. 7: raw logits, sums over the classes.
    step, m, losses = leaf_step(), 1.5, []
    for z, y in zip(step.logits[:9].tolist(), step.labels[:9].tolist(), strict=True):
        pairs = [(1 - (z[y] - z[i]) / m if dynamic else 1, max(0, m - z[y] + z[i])) for i in range(len(z)) if i != y]
        losses.append(sum(alpha * hinge for alpha, hinge in pairs) - (z[y] if dynamic else 0))
    objective = MarginLoss(margin=m, dynamic=dynamic, normalize_logits=False, reduction="sum")
    by_role = [losses[:6], losses[6:]]
    assert module_of(objective)(step).item() == pytest.approx(sum(np.mean(part) for part in by_role), rel=1e-5)


def test_margin_reads_no_target_rows():
    assert not MarginLoss().reads_target
    step = leaf_step()
    module_of(MarginLoss())(step).backward()
    assert not step.features.grad[9:].any()


def test_class_confusion_is_that_of_the_target_block():
    step = leaf_step()
    expected = 3.0 * minimum_class_confusion_loss(step.logits[9:], temperature=2.0)
    torch.testing.assert_close(module_of(MCC(temperature=2.0, trade_off=3.0))(step), expected)


def entropy(logits):
    return -(F.softmax(logits, 1) * F.log_softmax(logits, 1)).sum(1).mean()


@pytest.mark.parametrize(
    "make", [make_head, lambda: CosineHead(4, 3, temperature=1.0).double()], ids=["linear", "cosine"]
)
def test_minimax_entropy_lets_the_classifier_raise_entropy_and_the_features_lower_it(make):
    step = leaf_step(head=(head := make()))
    module_of(MME(trade_off=1.0))(step).backward()
    with torch.no_grad():
        before = entropy(head(step.features[9:]))
        assert entropy(head((step.features - 0.1 * step.features.grad)[9:])) < before
        for parameter in head.parameters():
            parameter -= 0.1 * parameter.grad
        assert entropy(head(step.features[9:])) > before


def test_minimax_entropy_gradients_are_those_of_two_steps():
    step = leaf_step(head=(head := make_head()))
    module_of(MME(trade_off=0.3))(step).backward()
    features, weight = step.features.detach().requires_grad_(), head.weight
    by_features, by_weight = torch.autograd.grad(0.3 * entropy(head(features[9:])), (features, weight))
    torch.testing.assert_close(step.features.grad, by_features)
    torch.testing.assert_close(weight.grad, -by_weight)


def test_minimax_entropy_logs_a_positive_entropy():
    step = leaf_step()
    module_of(MME())(step)
    torch.testing.assert_close(step.batch.terms["target_entropy"], entropy(step.logits[9:]).detach())


def test_discriminator_is_trained_and_features_get_its_reversed_gradient():
    module, step = module_of(DANN(trade_off=0.5, schedule="constant", max_reversal=0.2)), leaf_step()
    module(step).backward()
    features = step.features.detach().requires_grad_()
    logit = module.discriminator(features)[:, 0]
    loss = 0.5 * domain_adversarial_loss(logit[:6], logit[9:])
    by_features, *by_discriminator = torch.autograd.grad(loss, (features, *module.parameters()))
    torch.testing.assert_close(step.features.grad, -0.2 * by_features)
    for parameter, gradient in zip(module.parameters(), by_discriminator, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize(("schedule", "coefficient"), [("dann", 0.986614), ("tll", 0.336376), ("constant", 1.0)])
def test_reversal_follows_its_schedule(schedule, coefficient):
    gradients = []
    for objective in (DANN(schedule=schedule), DANN(schedule="constant")):
        step = leaf_step()
        module_of(objective)(step).backward()
        gradients.append(step.features.grad)
    torch.testing.assert_close(gradients[0], coefficient * gradients[1], rtol=1e-4, atol=1e-7)


def test_without_reversal_the_discriminator_tells_the_domains_apart():
    X, _, domain = make_data((3,), (-3,))
    logit = fitted(DANN(max_reversal=0.0), make_data((3,), (-3,)), max_epochs=10).domain_logit(X)
    assert ((logit > 0) == (domain > 0)).mean() > 0.95


def test_domain_logit_is_refused_without_a_discriminator():
    with pytest.raises(ValueError, match="objective=MCC"):
        fitted(MCC()).domain_logit(make_data()[0])


@pytest.mark.filterwarnings("ignore:objective=")
def test_domain_logit_of_an_untrained_discriminator_is_refused():
    X, y, _ = make_data(targets=())
    with pytest.raises(ValueError, match="untrained"):
        fitted(DANN(), (X, y)).domain_logit(X)


def test_domain_logit_of_a_discriminator_without_weight_is_refused():
    model = fitted(DANN(trade_off=0))
    with pytest.raises(ValueError, match="trade_off > 0"):
        model.domain_logit(make_data()[0])


def test_a_module_without_a_logit_of_its_discriminator_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match=r"abstract.*logit_of"):
        DomainTerm(DANN())


def test_domain_logit_comes_from_the_part_that_has_it():
    model = fitted(MCC() + DANN())
    assert "source_logit" in model.pool_supplies
    assert model.domain_logit(make_data()[0]).shape == (48,)


@pytest.mark.parametrize("objective", [MCC(), MME(), *ALL[5:11]])
def test_a_step_without_target_rows_costs_nothing(objective):
    assert module_of(objective)(leaf_step(n_target=0)).item() == 0.0


@pytest.mark.parametrize("objective", [*ALL[5:10], GSDA(alpha=0.0)], ids=lambda objective: str(objective))
def test_a_step_without_source_rows_trains_no_discriminator(objective):
    assert module_of(objective)(leaf_step(n_source=0)).item() == 0.0


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (MarginLoss(margin=0.0), "margin"),
        (MarginLoss(dynamic=2), "dynamic"),
        (MarginLoss(max_logit="x"), "max_logit"),
        (MarginLoss(normalize_logits=None), "normalize_logits"),
        (MarginLoss(reduction="mean"), "reduction"),
        (MarginLoss(detach_alpha=None), "detach_alpha"),
        (MarginLoss(trade_off=-1), "trade_off"),
        (MCC(temperature=-1.0), "temperature"),
        (MCC(trade_off=np.nan), "trade_off"),
        (MME(trade_off=-1), "trade_off"),
        (DANN(trade_off="x"), "trade_off"),
        (DANN(schedule="x"), "schedule"),
        (DANN(max_reversal=-0.5), "max_reversal"),
        (DANN(hidden=64), "hidden"),
        (DANN(hidden=(64, 0)), "hidden"),
        (DANN(hidden=(6.4,)), "hidden"),
        (DANN(discriminator="ternary"), "discriminator"),
        (TSF(hidden=(64, 0)), "hidden"),
        (TSF(hidden=64), "hidden"),
        (TSF(use_target_labels=2), "use_target_labels"),
        (TSF(detach=None), "detach"),
        (M3SDA(n_moments=0), "n_moments"),
        (M3SDA(trade_off=-1), "trade_off"),
        (GSDA(alpha=-1), "alpha"),
        (GSDA(beta=-1), "beta"),
        (GSDA(n_groups=0), "n_groups"),
        (GSDA(n_groups="many"), "n_groups"),
        (GSDA(levels=("domain", "klass")), "levels"),
        (GSDA(levels="domain"), "levels"),
        (GSDA(hidden=(0,)), "hidden"),
        (GSDA(schedule="x"), "schedule"),
        (GSDA(max_reversal=-1), "max_reversal"),
        (GSDA(trade_off=-1), "trade_off"),
        (GSDA(syn_reduction="max"), "syn_reduction"),
        (GSDA(confidence_threshold=1.1), "confidence_threshold"),
        (GSDA(class_balanced="x"), "class_balanced"),
        (GSDA(random_state="x"), "random_state"),
        (MCC() + MME(trade_off=-1), "trade_off"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(objective, name):
    with pytest.raises(ValueError, match=name):
        fitted(objective)


def test_a_part_of_a_sum_that_is_no_objective_is_refused():
    with pytest.raises(TypeError, match="objectives must hold objectives"):
        fitted(ObjectiveSum([("mcc", MCC()), ("other", "mme")]))


@pytest.mark.parametrize("objective", ALL[1:], ids=IDS[1:])
def test_parameters_changed_after_fit_count_from_the_next_fit(objective):
    changed, same = (fitted(clone(objective)) for _ in range(2))
    changed.set_params(**{name: 7.0 for name in changed.get_params() if name.endswith("trade_off")})
    X, y, domain = make_data()
    np.testing.assert_array_equal(*(model.partial_fit(X, y, domain).predict_proba(X) for model in (changed, same)))


def test_a_sum_is_the_sum_of_its_parts():
    total, parts = module_of(MCC() + MarginLoss()), [module_of(MCC()), module_of(MarginLoss())]
    torch.testing.assert_close(total(leaf_step()), sum(part(leaf_step()) for part in parts))


def test_adding_names_the_parts_by_class():
    assert [name for name, _ in (MarginLoss() + MCC()).objectives] == ["marginloss", "mcc"]
    assert [name for name, _ in (MME() + MCC() + MME()).objectives] == ["mme-1", "mcc", "mme-2"]


def test_sums_add_up_flat_on_either_side():
    names = [name for name, _ in ((MCC() + MME()) + (DANN() + MarginLoss())).objectives]
    assert names == ["mcc", "mme", "dann", "marginloss"]
    assert [name for name, _ in (DANN() + (MCC() + MME())).objectives] == ["dann", "mcc", "mme"]


def test_adding_leaves_the_summands_alone():
    first = MCC() + MME()
    first + DANN()
    assert [name for name, _ in first.objectives] == ["mcc", "mme"]


def test_adding_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        MCC() + 1
    with pytest.raises(TypeError):
        (MCC() + MME()) + "mme"


def test_parameters_of_the_parts_are_reached_by_name():
    total = (MCC() + MME()).set_params(mme__trade_off=0.7)
    assert total.get_params()["mme__trade_off"] == total.objectives[1][1].trade_off == 0.7
    assert (MME() + MME()).set_params(**{"mme-2__trade_off": 0.9}).objectives[1][1].trade_off == 0.9


def test_parameters_of_the_parts_are_reached_through_the_classifier():
    model = AdaptationClassifier(MCC() + MME()).set_params(objective__mme__trade_off=0.7)
    assert model.objective.objectives[1][1].trade_off == 0.7


def test_a_part_may_be_replaced():
    total = (MCC() + MME()).set_params(mme=DANN())
    assert [type(part) for _, part in total.objectives] == [MCC, DANN]


def test_a_clone_is_a_copy_of_every_part():
    total = MCC(temperature=2.0) + MME()
    copy = clone(total)
    copy.set_params(mcc__temperature=9.0)
    assert total.objectives[0][1].temperature == 2.0
    assert type(copy) is ObjectiveSum


def test_a_sum_shows_its_parts():
    assert (
        repr(MCC(temperature=2.0) + MME()) == "ObjectiveSum(objectives=[('mcc', MCC(temperature=2.0)), ('mme', MME())])"
    )


def test_a_sum_reads_and_supplies_what_its_parts_do():
    assert not (MarginLoss() + MarginLoss()).reads_target
    assert (MarginLoss() + MCC()).reads_target
    assert (MCC() + DANN()).supplies == {"source_logit"}
    assert (MCC() + MME()).supplies == frozenset()


def test_objectives_without_an_implementation_say_what_is_missing():
    with pytest.raises(TypeError, match=r"loss.*build"):
        Objective().loss(leaf_step())
    with pytest.raises(TypeError, match=r"loss.*build"):
        ObjectiveTerm(Objective())(leaf_step())


def test_an_objective_of_ones_own_is_added():
    class Decay(Objective):
        reads_target = False

        def build(self, n_features, n_classes, n_domains):
            module = nn.Module()
            module.forward = lambda step: step.features.square().mean()
            return module

    decayed, plain = fitted(Decay(), max_epochs=10), fitted(max_epochs=10)
    X = make_data()[0]
    assert np.square(decayed.transform(X)).mean() < np.square(plain.transform(X)).mean()


def test_steps_can_be_run_through_the_network_again():
    class Consistency(Objective):
        def build(self, n_features, n_classes, n_domains):
            module = nn.Module()
            module.forward = lambda step: (step.forward(step.inputs + 1)[0] - step.logits).square().mean()
            return module

    assert not np.array_equal(proba(Consistency()), proba(None))
