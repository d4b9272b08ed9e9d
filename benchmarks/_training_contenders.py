"""What `training_speed.py` compares: epochs and discriminators, the package's and those of plain loops."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector

from skada_active import deep
from skada_active.deep import DANN, MCC, AdaptationClassifier, Objective
from skada_active.deep._validation import training_data
from skada_active.deep.objectives._adversarial import make_discriminator
from skada_active.deep.objectives._parallel import ParallelDiscriminators
from skada_active.domains import resolve_roles

#: What is trained, and whether there are labelled target rows in a step besides the source rows.
METHODS: dict[str, tuple[Any, bool]] = {
    "source only": (None, False),
    "S+T": (None, True),
    "S+T and MCC": (MCC(), True),
    "S+T and DANN": (DANN(schedule="constant"), True),
}
#: Objectives that compare views of the rows.
AUGMENTATIONS = dict.fromkeys(("CDAC", "SelfEnsembling"), "auto")


class Rows:
    """Random rows of a source, a target, and the labels of one target row in twenty."""

    def __init__(self, n_rows: int, n_features: int, n_classes: int, with_target: bool) -> None:
        rng = np.random.RandomState(0)
        self.X = rng.randn(n_rows * (1 + with_target), n_features).astype(np.float32)
        self.y = np.arange(len(self.X)) % n_classes
        self.sample_domain = np.where(np.arange(len(self.X)) < n_rows, 1, -1)
        self.y[n_rows + n_rows // 20 :] = -1


def classifier_epoch(rows: Rows, objective: Any, batch_size: int) -> tuple[Callable[[], Any], Any]:
    """Return a function that trains a new classifier for an epoch, and its net."""
    params = {"batch_size": batch_size, "max_epochs": 0, "device": "cpu", "random_state": 0}
    model = AdaptationClassifier(objective, augmentation=AUGMENTATIONS.get(type(objective).__name__), **params)
    model.fit(rows.X, rows.y, rows.sample_domain)
    roles = resolve_roles(rows.y, rows.sample_domain)
    names = {"classes": model.classes_, "domains": model.domains_, "device": model.device_}
    data = training_data(rows.X, rows.y, roles, **names)
    return lambda: model.net_.train_epochs(data, 1), model.net_


class BareLoop:
    """The same steps on copies of the same networks, with nothing but torch."""

    def __init__(self, rows: Rows, net: Any, objective: Any, batch_size: int) -> None:
        self.backbone, self.head = copy.deepcopy(net.module_.backbone), copy.deepcopy(net.module_.head)
        self.discriminator = copy.deepcopy(getattr(net.criterion_.objective, "discriminator", None))
        modules = [module for module in (self.backbone, self.head, self.discriminator) if module is not None]
        self.parameters = [parameter for module in modules for parameter in module.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3, weight_decay=1e-5, fused=True)
        self.X, self.y, self.size = torch.as_tensor(rows.X), torch.as_tensor(rows.y), batch_size
        is_source = torch.as_tensor(rows.sample_domain > 0)
        self.roles = [is_source.nonzero()[:, 0], (~is_source & (self.y >= 0)).nonzero()[:, 0]]
        if objective is not None:
            self.roles.append((~is_source).nonzero()[:, 0])
        self.roles = [role for role in self.roles if len(role)]
        self.loss = {MCC: self.mcc, DANN: self.dann}.get(type(objective), self.labeled)

    def epoch(self) -> None:
        n_steps = -(-len(self.roles[0]) // self.size)
        for rows in torch.cat([self.draw(role, n_steps) for role in self.roles], dim=1):
            self.optimizer.zero_grad()
            features = self.backbone(self.X[rows])
            self.loss(features, self.head(features), self.y[rows]).backward()
            self.optimizer.step()

    def draw(self, role: Tensor, n_steps: int) -> Tensor:
        needed = n_steps * self.size
        order = torch.cat([torch.randperm(len(role)) for _ in range(-(-needed // len(role)))])
        return role[order[:needed]].view(n_steps, self.size)

    def labeled(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        n = self.size
        loss = F.cross_entropy(logits[:n], labels[:n])
        return loss + F.cross_entropy(logits[n : 2 * n], labels[n : 2 * n]) if len(self.roles) > 1 else loss

    def mcc(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        proba = (logits[2 * self.size :] / 2.5).softmax(dim=1)
        weight = 1 + (proba * (proba + 1e-5).log()).sum(dim=1).detach().exp()
        weight = len(weight) * weight / weight.sum()
        confusion = (proba * weight[:, None]).T @ proba
        confusion = confusion / confusion.sum(dim=1, keepdim=True)
        return self.labeled(features, logits, labels) + (confusion.sum() - confusion.trace()) / len(confusion)

    def dann(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        n = self.size
        both = Reversed.apply(torch.cat([features[:n], features[2 * n :]]))
        is_source = torch.cat([torch.ones(n), torch.zeros(n)])
        domain = F.binary_cross_entropy_with_logits(self.discriminator(both)[:, 0], is_source)
        return self.labeled(features, logits, labels) + domain


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def epochs(method: str, n_rows: int, n_features: int, n_classes: int, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Return the two contenders, which have made the same steps in a first epoch with the same seed."""
    objective, with_target = METHODS[method]
    rows = Rows(n_rows, n_features, n_classes, with_target)
    ours, net = classifier_epoch(rows, objective, batch_size)
    bare = BareLoop(rows, net, objective, batch_size)
    for epoch in (ours, bare.epoch):
        torch.manual_seed(0)
        epoch()
    trained = [*net.module_.parameters(), *net.criterion_.parameters()]
    mine, theirs = map(parameters_to_vector, (trained, bare.parameters))
    if (mine - theirs).norm() > 0.01 * theirs.norm():  # more than rounding, which grows from step to step
        raise RuntimeError(f"the contenders for {method} are not trained alike.")
    return {"ours": ours, "other": bare.epoch}


def objectives() -> dict[str, Objective]:
    """Return every objective of the package by its name, in its default configuration."""
    kinds = {name: getattr(deep, name) for name in deep.__all__}
    return {
        name: kind()
        for name, kind in sorted(kinds.items())
        if isinstance(kind, type) and issubclass(kind, Objective) and kind is not Objective
    }


def objective_steps(
    objective: Objective, n_rows: int, n_features: int, n_classes: int, batch_size: int
) -> dict[str, Callable[[], Any]]:
    """Return two contenders, an epoch with an objective and one on the labelled rows alone."""
    rows = Rows(n_rows, n_features, n_classes, True)
    contenders = {"ours": objective, "other": None}
    return {name: classifier_epoch(rows, loss, batch_size)[0] for name, loss in contenders.items()}


class LoopedDiscriminators(nn.Module):
    """One plain network after the other."""

    def __init__(self, n_networks: int, n_features: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(make_discriminator(n_features, hidden, 1) for _ in range(n_networks))

    def forward(self, rows: Tensor) -> Tensor:
        return torch.stack([network(part)[:, 0] for network, part in zip(self.networks, rows.unbind(), strict=True)])


def discriminators(n_classes: int, n_rows: int, n_features: int, width: int) -> dict[str, Callable[[], None]]:
    """Return the two contenders: forward and backward pass of all discriminators, each on rows of its own."""
    rows = torch.randn(n_classes, n_rows, n_features).relu_().requires_grad_()
    kinds = {"ours": ParallelDiscriminators, "other": LoopedDiscriminators}
    return {name: passes(kind(n_classes, n_features, (width,)), rows) for name, kind in kinds.items()}


def passes(module: nn.Module, rows: Tensor) -> Callable[[], None]:
    tensors = [rows, *module.parameters()]

    def both_ways() -> None:
        for tensor in tensors:
            tensor.grad = None
        F.softplus(module(rows)).mean().backward()

    return both_ways
