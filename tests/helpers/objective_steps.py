"""Steps of a network in float64, for the objectives that pass rows through the network once more."""

from __future__ import annotations

import torch
from torch import nn

from skada_active.deep._module import AdaptationModule
from skada_active.deep.batches import Batch
from skada_active.deep.step import Step


def make_network(*layers, scale=6.0):
    """Return a network of 5 inputs, 6 features and 3 classes; some of its rows are sure of their class."""
    torch.manual_seed(0)
    network = AdaptationModule(nn.Sequential(nn.Linear(5, 6), *layers), nn.Linear(6, 3)).double()
    with torch.no_grad():
        network.head.weight *= scale
    return network


def make_step(network, sizes=(6, 2, 8), seed=0, rows=None, augmentation=None, **options):
    """Return a step of so many source, labelled target and target rows."""
    generator = torch.Generator().manual_seed(seed)
    n_rows = sum(sizes)
    inputs = torch.randn(n_rows, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(n_rows) % 3
    labels[sizes[0] + sizes[1] :] = -1
    rows = torch.arange(n_rows) if rows is None else torch.cat([torch.full((sum(sizes[:2]),), -7), rows])
    batch = Batch(labels, (torch.arange(n_rows) >= sizes[0]).long(), sizes[0], sizes[0] + sizes[1], rows)
    logits, features = network(inputs)
    options = {"progress": 0.5, "iteration": 700, **options}
    return Step(
        inputs, features, logits, batch, head=network.classify, forward=network, augmentation=augmentation, **options
    )


class Views:
    """Augmentation that adds noise and keeps what it returned."""

    def __init__(self, scale=0.2):
        self.scale, self.made = scale, []

    def __call__(self, rows):
        self.made.append(rows + self.scale * torch.randn_like(rows))
        return self.made[-1]


def gradients(loss, network):
    """Return the gradient of a loss for backbone and head, a vector each."""
    parts = [list(network.backbone.parameters()), list(network.head.parameters())]
    return [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, part, retain_graph=True, materialize_grads=True)])
        for part in parts
    ]
