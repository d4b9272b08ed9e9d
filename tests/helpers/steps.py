"""Steps of small networks in float64, for naive references of objectives."""

from __future__ import annotations

import torch
from torch import nn

from skada_active.deep._module import AdaptationCriterion, AdaptationModule
from skada_active.deep.batches import Batch
from skada_active.deep.step import Step
from skada_active.networks import CosineHead

__all__ = ["attached", "criterion_of", "gradients", "make_network", "make_step"]

N_INPUTS, N_FEATURES, N_CLASSES = 5, 4, 3


def make_network(head="linear", dtype=torch.float64):
    """Return a network of 3 classes with a linear backbone of width 4."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        of_kind = CosineHead if head == "cosine" else nn.Linear
        network = AdaptationModule(nn.Linear(N_INPUTS, N_FEATURES), of_kind(N_FEATURES, N_CLASSES)).to(dtype)
    network.n_features = N_FEATURES
    return network


def make_step(network, n_source=6, n_labeled_target=3, n_target=5, **options):
    """Return a step of the network; labels are known of the first two blocks."""
    generator = torch.Generator().manual_seed(0)
    n_labeled = n_source + n_labeled_target
    inputs = torch.randn(n_labeled + n_target, N_INPUTS, generator=generator, dtype=network.head.weight.dtype)
    labels = torch.arange(len(inputs)) % N_CLASSES
    labels[n_labeled:] = -1
    logits, features = network(inputs)
    options = {"progress": 0.6, "iteration": 700, **options}
    batch = Batch(labels, (torch.arange(len(labels)) >= n_source).long(), n_source, n_labeled)
    return Step(inputs, features, logits, batch, head=network.classify, forward=network, **options)


def attached(objective, network, seed=0):
    """Return the module of an objective as a net makes it."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = objective.build(N_FEATURES, N_CLASSES, 2)
        module.attach(network)
    return module.to(network.head.weight.dtype)


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
