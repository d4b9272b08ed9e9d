"""Outputs of a trained net for many rows, from one forward pass."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from typing import Any

import torch
from skorch.utils import to_device
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Subset

from skada_active.deep._precision import in_full_precision
from skada_active.deep.batches import RowBatches
from skada_active.deep.net import AdaptationNet
from skada_active.deep.objectives import VAT, terms_of
from skada_active.exceptions import TrainingError
from skada_active.utils.arrays import empty_like, to_host
from skada_active.utils.fitting import keeps_grad_mode

__all__ = ["net_outputs"]

#: What a net gives for each row. The embedding is what stands before the normalisation of a cosine head.
_OUTPUTS = frozenset(
    {
        "proba",
        "logits",
        "features",
        "embedding",
        "source_logit",
        "domain_grad",
        "virtual_divergence",
        "committee_proba",
        "committee_logits",
    }
)


@keeps_grad_mode
def net_outputs(net: AdaptationNet, rows: Any, names: Collection[str], on_device: Collection[str]) -> dict[str, Any]:
    """Return the named outputs of a net for rows, those that it has.

    Parameters
    ----------
    net : AdaptationNet
        A trained net.
    rows : Tensor of shape (n, ...) or dataset
        The rows; a tensor on the device of the net.
    names : collection of str
        Among ``proba``, ``logits``, ``features``, ``embedding``, ``source_logit``, ``domain_grad``,
        ``virtual_divergence``, ``committee_proba`` and ``committee_logits``, the last two of shape (M, n, C); others
        are left out.
    on_device : collection of str
        Which of them are tensors on the device of the net; the others are ndarrays.

    Raises
    ------
    TrainingError
        If logits are not finite.
    ValueError
        If that is because the rows of a dataset are not.
    """
    wanted = [name for name in sorted(names) if name in _OUTPUTS]
    outputs: dict[str, Any] = {}
    is_bad: list[Tensor] = []
    start = 0
    for batch in net.get_iterator(net.get_dataset(rows)):
        # A copy: the first layer of a module may work in place.
        inputs = batch[0].clone() if "virtual_divergence" in wanted else batch[0]
        logits, features = to_device(net.evaluation_step(batch), net.device)
        stop = start + len(logits)
        is_bad.append(~logits.isfinite().all(dim=1))
        for name in wanted:
            output = in_full_precision(_output, net, name, inputs, logits, features, device=logits.device)
            values = output if name in on_device else to_host(output)
            if name not in outputs:
                # Filled batch by batch: a list of all batches would take the memory twice.
                outputs[name] = empty_like((len(rows), *values.shape[1:]), values)
            outputs[name][start:stop] = values
        start = stop
    if is_bad and bool((bad := torch.cat(is_bad)).any()):
        _refuse(rows, int(bad.nonzero()[0]), int(bad.sum()))
    # The heads of a committee give their outputs row by row, and a pool view has them member by member.
    return {name: values.swapaxes(0, 1) if name.startswith("committee") else values for name, values in outputs.items()}


def _refuse(rows: Any, number: int, n_bad: int) -> None:
    """Raise an error that says why the outputs for `n_bad` rows, first for one of this number, are not finite."""
    one = rows[number : number + 1] if isinstance(rows, Tensor) else Subset(rows, [number])
    if not next(iter(RowBatches(one, 1)))[0].isfinite().all():
        raise ValueError(f"X holds NaN or infinity in {n_bad} of its rows, first in row {number}; impute or drop them.")
    raise TrainingError(
        f"The network's outputs for {n_bad} of {len(rows)} rows, first for row {number}, are NaN or infinite, which no "
        "prediction can be made of: its training diverged, or these rows are far from all that it was trained on. "
        "Train it with a lower lr, or standardise X."
    )


@torch.no_grad()
def _output(net: AdaptationNet, name: str, inputs: Tensor, logits: Tensor, features: Tensor) -> Tensor:
    if name == "proba":
        return logits.softmax(dim=1)
    if name == "source_logit":
        return _source_logit(net, features, logits)
    if name == "domain_grad":
        return _domain_gradient(net, features)
    if name == "virtual_divergence":
        return _virtual_adversarial(net).divergence(net.module_, inputs.to(logits.device), logits)
    if name == "committee_proba":
        return net.criterion_.committee(features).softmax(dim=2)
    if name == "committee_logits":
        return net.criterion_.committee(features)
    return logits if name == "logits" else net.module_.head_input(features) if name == "features" else features


def _source_logit(net: AdaptationNet, features: Tensor, logits: Tensor) -> Tensor:
    source_logit = net.criterion_.objective.source_logit
    reads_logits = "logits" in signature(source_logit).parameters
    return source_logit(features, logits) if reads_logits else source_logit(features)


def _domain_gradient(net: AdaptationNet, features: Tensor) -> Tensor:
    """Return the gradients (n, D) of -log P(source) of embedded rows."""
    with torch.enable_grad():
        rows = features.detach().requires_grad_()
        # Logits are computed again: a discriminator may read the embedding through them.
        logit = _source_logit(net, rows, net.module_.classify(rows))
        return torch.autograd.grad(F.softplus(-logit).sum(), rows)[0]


def _virtual_adversarial(net: AdaptationNet) -> VAT:
    """Return the objective that says how long adversarial steps are: the net's, or the one of the defaults."""
    terms = terms_of(net.criterion_.objective)
    return next((term.config for term in terms if isinstance(term.config, VAT)), VAT())
