"""Steps in float64 for tests of objectives, with or without a network, and the modules of the objectives."""

from __future__ import annotations

import torch
from torch import nn

from skada_active.deep._module import AdaptationCriterion, AdaptationModule
from skada_active.deep.batches import Batch
from skada_active.deep.step import Step
from skada_active.networks import CosineHead

__all__ = [
    "Views",
    "attached",
    "criterion_of",
    "domain_step",
    "gradients",
    "leaf_step",
    "make_network",
    "make_step",
    "module_of",
]

N_INPUTS, N_FEATURES, N_CLASSES = 5, 4, 3


def make_network(*layers, head="linear", scale=6.0, n_classes=N_CLASSES):
    """Return a network of a linear layer of width 4, further layers and a head, by `scale` surer than a new one."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        of_kind = CosineHead if head == "cosine" else nn.Linear
        backbone = nn.Sequential(nn.Linear(N_INPUTS, N_FEATURES), *layers)
        network = AdaptationModule(backbone, of_kind(N_FEATURES, n_classes)).double()
    network.head.weight.data *= scale
    return network


def make_step(
    network, n_source=6, n_labeled_target=3, n_target=5, *, known=(), rows=None, units=1.0, seed=0, **options
):
    """Return a step of a network; of the target batch, rows numbered by `rows`, those `known` have a label."""
    weight, n_labeled = next(network.parameters()), n_source + n_labeled_target
    n_rows = n_labeled + n_target
    generator = torch.Generator().manual_seed(seed)
    inputs = units * torch.randn(n_rows, weight.shape[1], generator=generator, dtype=weight.dtype)
    labels = torch.arange(n_rows) % len(network.head.weight)
    labels[[row for row in range(n_labeled, n_rows) if row - n_labeled not in known]] = -1
    if rows is not None:
        rows = torch.cat([torch.full((n_labeled,), -7), rows])
    batch = Batch(labels, (torch.arange(n_rows) >= n_source).long(), n_source, n_labeled, rows)
    logits, features = network(inputs)
    options = {"progress": 0.5, "iteration": 700, "head": network.classify, "forward": network, **options}
    return Step(inputs, features, logits, batch, **options)


def leaf_step(*sizes, head=None, shift=0.0, **options):
    """Return a step with a head and no network before it: its features, moved by `shift` in the target, are leaves."""
    head = make_network(scale=4.0).head if head is None else head
    step = make_step(AdaptationModule(nn.Identity(), head), *sizes, head=head, **{"forward": None, **options})
    step.features[step.n_source :] += shift
    step.logits = head(step.features.requires_grad_())
    return step


def domain_step(source=(0, 2, 1, 0, 2, 0, 0), target=(3, 3, 3)):
    """Return a step of leaves whose source and target rows are of these domains, beside two labelled target rows."""
    step = leaf_step(len(source), 2, len(target))
    step.domain[:] = torch.tensor([*source, *[max(source, default=0) + 1] * 2, *target])
    return step


def module_of(objective, n_features=N_FEATURES, n_classes=N_CLASSES, n_domains=2):
    """Return the module of an objective in float64, the same every time."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return objective.build(n_features, n_classes, n_domains).double()


def attached(objective, network):
    """Return the module of an objective as a net makes it."""
    module = module_of(objective)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        module.attach(network)
    return module


def criterion_of(objective, network, step):
    """Return the module of an objective, and the total loss of a step with it."""
    module = attached(objective, network)
    return module, AdaptationCriterion(module)(step)


def gradients(loss, *modules):
    """Return the gradients of a loss by all weights of the modules, in one vector each."""
    weights = [[weight for weight in module.parameters() if weight.requires_grad] for module in modules]
    flat = [weight for of_module in weights for weight in of_module]
    found = iter(torch.autograd.grad(loss, flat, materialize_grads=True, retain_graph=True))
    return [torch.cat([next(found).flatten() for _ in of_module]) for of_module in weights]


class Views:
    """Augmentation that adds noise and keeps what it returned."""

    def __init__(self):
        self.generator, self.made = torch.Generator().manual_seed(0), []

    def __call__(self, rows):
        noise = torch.randn(rows.shape, generator=self.generator, dtype=rows.dtype)
        self.made.append(rows + 0.2 * noise)
        return self.made[-1]
