from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from skada_active import deep
from skada_active.deep import (
    ATDOC,
    CDAC,
    DAN,
    DANN,
    GSDA,
    JAN,
    MADA,
    MCC,
    RTN,
    TPN,
    TSF,
    VAT,
    LabelMatching,
    MarginLoss,
    Objective,
    ObjectiveTerm,
    PartialWeights,
)
from skada_active.deep.functional import gradient_reversal
from skada_active.testing import check_objective

EXPORTED = [
    kind
    for name in deep.__all__
    if isinstance(kind := getattr(deep, name), type) and issubclass(kind, Objective) and kind is not Objective
]
#: What a check has to be told of some classes.
OPTIONS = {
    ATDOC: {"changes": {"memory": 8}},
    CDAC: {"changes": {"top_k": 2}},
    DAN: {"changes": {"kernel_scales": (0.5,)}},
    JAN: {"changes": {"kernel_scales": (0.5,)}},
    RTN: {"changes": {"kernel_scales": (0.5,)}},
    VAT: {"changes": {"epsilon": 1.0, "xi": 0.1}},
    GSDA: {"changes": {"n_groups": 1, "levels": ("domain",)}},
}


@pytest.mark.parametrize("kind", EXPORTED)
def test_every_exported_objective_keeps_the_contract(kind):
    check_objective(kind(), **OPTIONS.get(kind, {}))


@pytest.mark.parametrize(
    ("objective", "unused"),
    [
        (MarginLoss(dynamic=True), ()),
        (DANN(discriminator="per_source", discriminator_input="logits"), ()),
        (DANN(discriminator="multiclass", discriminator_input="proba", schedule="tll"), ()),
        (TSF(hidden=(8, 8), detach=False), ()),
        (TSF(hidden=(), schedule="constant", use_target_labels=False), ("hidden",)),
        (MADA(hidden=(8, 8), detach=False), ()),
        (TPN(pseudo_labels="prototypes"), ()),
        (PartialWeights(trade_off=0.5), ()),
        (LabelMatching(pseudo_label_threshold=0.0), ("momentum",)),
        (GSDA(levels=("class",), beta=0.0), ("n_groups", "levels", "syn_reduction", "random_state")),
    ],
    ids=str,
)
def test_other_configurations_keep_the_contract(objective, unused):
    check_objective(objective, unused=unused)


def spread(step):
    return step.features[step.target].square().mean()


class Spread(Objective):
    """An objective that keeps the contract."""

    def loss(self, step):
        return spread(step)


class Reversed(Objective):
    """An adversarial objective that keeps the contract, written from the user guide."""

    reads_source = True
    supplies = frozenset({"source_logit"})

    def __init__(self, trade_off=1.0, hidden=8):
        super().__init__(trade_off)
        self.hidden = hidden

    def build(self, n_features, n_classes, n_domains):
        return ReversedTerm(self, n_features)


class ReversedTerm(ObjectiveTerm):
    def __init__(self, config, n_features):
        super().__init__(config)
        self.layers = nn.Sequential(nn.Linear(n_features, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 1))

    def loss(self, step):
        logit = self.source_logit(gradient_reversal(step.source_and_target(step.features)))
        is_source = (torch.arange(len(logit)) < step.n_source).float()
        return nn.functional.binary_cross_entropy_with_logits(logit, is_source)

    def source_logit(self, features):
        return self.layers(features)[:, 0]


@pytest.mark.parametrize("objective", [Spread(), Reversed()], ids=str)
def test_objectives_of_ones_own_that_keep_the_contract_pass(objective):
    check_objective(objective)


class Refined(Spread):
    """An objective one of whose parameters refines an option that is off by default."""

    def __init__(self, trade_off=1.0, rooted=False, doubled=False):
        super().__init__(trade_off)
        self.rooted = rooted
        self.doubled = doubled

    def loss(self, step):
        return spread(step).sqrt() * (2 if self.doubled else 1) if self.rooted else spread(step)


def test_a_parameter_may_act_with_an_option_only_that_is_off():
    check_objective(Refined())


class StoresAnotherValue(Spread):
    def __init__(self, trade_off=1.0, power=2.0):
        super().__init__(trade_off)
        self.power = 2 * power


class WithoutTradeOff(Spread):
    def __init__(self):
        pass


class TargetByName(Spread):
    reads_target = "yes"


class SuppliesATuple(Spread):
    supplies = ("source_logit",)


class SuppliesUnknown(Spread):
    supplies = frozenset({"energy"})


class BuildsAFunction(Spread):
    def build(self, n_features, n_classes, n_domains):
        return lambda step: self.trade_off * spread(step)


class Vector(Spread):
    def loss(self, step):
        return step.features[step.target].square().mean(dim=1)


class Double(Spread):
    def loss(self, step):
        return spread(step).double()


class Infinite(Spread):
    def loss(self, step):
        return spread(step) / 0


class Detached(Spread):
    def loss(self, step):
        return spread(step).detach()


class OwnBuild(Objective):
    """Base of objectives whose module is written by hand."""

    def build(self, n_features, n_classes, n_domains):
        return OwnModule(self)


class OwnModule(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, step):
        return self.config.weighted(step)


class Unweighted(OwnBuild):
    def weighted(self, step):
        return spread(step)


class NeverOff(OwnBuild):
    def weighted(self, step):
        return max(self.trade_off, 0.5) * spread(step)


class Unguarded(OwnBuild):
    def weighted(self, step):
        return self.trade_off * spread(step)


class WithIdleParameter(Spread):
    def __init__(self, trade_off=1.0, temperature=2.5):
        super().__init__(trade_off)
        self.temperature = temperature


class WithUnknownOptions(Spread):
    def __init__(self, trade_off=1.0, kind="mean"):
        super().__init__(trade_off)
        self.kind = kind


class NeedsSource(Spread):
    def loss(self, step):
        return spread(step) + step.features[step.source].mean()


class NeedsTwoRows(Spread):
    def loss(self, step):
        return step.features[step.target].std(dim=0).sum()


class ReadsNoTarget(Spread):
    def loss(self, step):
        return step.features[step.labeled].square().mean()


class ReadsTargetInSecret(Spread):
    reads_target = False

    def loss(self, step):
        return step.features.square().mean()


class ReadsUnknownLabels(Spread):
    def loss(self, step):
        return (step.features[step.target].square().mean(dim=1) * step.labels[step.target]).mean()


class AddsToItself(Spread):
    def __add__(self, other):
        return self


class DrawsFromTheGlobalGenerator(Spread):
    def loss(self, step):
        np.random.random()  # noqa: NPY002
        return spread(step)


CALLS = itertools.count()


class Irreproducible(Spread):
    def loss(self, step):
        in_training = step.features.shape[1] == 8
        return spread(step) * (1 + next(CALLS) if in_training else 1)


class Diverging(Spread):
    def loss(self, step):
        in_training = step.features.shape[1] == 8
        return spread(step) * (float("nan") if in_training else 1)


class SuppliesNothing(Spread):
    supplies = frozenset({"source_logit"})


class Supplies(Spread):
    """Base of objectives that supply something wrong."""

    supplies = frozenset({"source_logit"})

    def build(self, n_features, n_classes, n_domains):
        term = SupplyingTerm(self)
        term.n_features, term.n_classes = n_features, n_classes
        return term


class SupplyingTerm(ObjectiveTerm):
    def source_logit(self, features):
        return self.config.logit(features)

    def class_domain_grad(self):
        return lambda features: np.zeros((len(features), self.n_classes, self.n_features + 1))


class SuppliesColumns(Supplies):
    def logit(self, features):
        return features


class SuppliesNaN(Supplies):
    def logit(self, features):
        return features[:, 0] * float("nan")


class SuppliesWrongGradients(Supplies):
    supplies = frozenset({"class_domain_grad"})


class HidesWhatItLearns(Spread):
    def build(self, n_features, n_classes, n_domains):
        return HidingTerm(self)


class HidingTerm(ObjectiveTerm):
    def __init__(self, config):
        super().__init__(config)
        self.seen = {"mean": torch.zeros(())}

    def loss(self, step):
        self.seen["mean"] = self.seen["mean"] + spread(step).detach()
        return spread(step) * (1 + self.seen["mean"])


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (StoresAnotherValue, "stores every parameter"),
        (WithoutTradeOff, "has the parameter trade_off"),
        (TargetByName, "has a bool as reads_target"),
        (SuppliesATuple, "has a frozenset as supplies"),
        (SuppliesUnknown, "supplies fields among"),
        (BuildsAFunction, "builds an nn.Module"),
        (Vector, "has a scalar loss"),
        (Double, "keeps float32"),
        (Infinite, "has a finite loss"),
        (Detached, "has a differentiable loss"),
        (Unweighted, "has a loss proportional to trade_off"),
        (NeverOff, "has no loss with trade_off=0"),
        (WithIdleParameter, "is changed by every parameter: with 'temperature'"),
        (WithUnknownOptions, "has another value for 'kind'"),
        (Unguarded, "step without target rows"),
        (NeedsSource, "step without source rows"),
        (NeedsTwoRows, "of one source and one target row"),
        (ReadsNoTarget, "reads target rows, or has reads_target = False"),
        (ReadsTargetInSecret, "reads no target rows, or has reads_target = True"),
        (ReadsUnknownLabels, "never reads the label of a row that has none"),
        (AddsToItself, "adds up with other objectives"),
        (DrawsFromTheGlobalGenerator, "leaves the global generators"),
        (Diverging, "to finite probabilities"),
        (Irreproducible, "trains reproducibly"),
        (SuppliesNothing, "supplies the fields of a pool view that it names"),
        (SuppliesColumns, "supplies the fields of a pool view that it names"),
        (SuppliesNaN, "supplies finite values of 'source_logit'"),
        (SuppliesWrongGradients, "supplies 'class_domain_grad' of shape"),
        (HidesWhatItLearns, "what it learns lies in parameters and buffers"),
    ],
)
def test_a_broken_rule_is_named(kind, rule):
    with pytest.raises(AssertionError) as caught:
        check_objective(kind())
    assert rule in str(caught.value)
    assert kind.__name__ in str(caught.value)


def test_a_class_that_cannot_be_pickled_is_refused():
    class Local(Spread):
        pass

    with pytest.raises(AssertionError, match="can be copied and pickled"):
        check_objective(Local())


def test_something_else_is_refused():
    with pytest.raises(AssertionError, match="instance of a subclass of Objective"):
        check_objective(MCC)


def test_parameters_that_change_nothing_are_declared():
    check_objective(WithIdleParameter(), unused=("temperature",))


def test_the_objective_is_left_alone():
    objective = MCC(temperature=2.0, trade_off=0.3)
    check_objective(objective)
    assert objective.get_params() == {"temperature": 2.0, "trade_off": 0.3}
