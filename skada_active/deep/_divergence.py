"""Checks that training can lead, and has led, to a model: batch statistics, finite losses and weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from skada_active.exceptions import TrainingError
from skada_active.utils.warn import warn_user

__all__ = ["check_finite", "check_single_rows", "warn_if_worse_than_guessing"]

_REMEDY = (
    "Lower lr or the trade_off of the objective, clip the gradients by "
    'net_params={"callbacks": [skorch.callbacks.GradientNormClipping(1.0)]}, or look for huge values in X.'
)
#: A labelled loss of so many times that of guessing is none that training passes through on its way to a model.
_HOPELESS = 100


def check_finite(net: Any, losses: dict[str, float]) -> None:
    """Raise a TrainingError if the loss of an epoch, or a weight after it, is NaN or infinite.

    Parameters
    ----------
    net : AdaptationNet
        The net.
    losses : dict
        Mean of the loss, which comes first, and of its terms.
    """
    is_finite = math.isfinite(next(iter(losses.values())))
    lost = [f"{name} is {value}" for name, value in losses.items() if not is_finite and not math.isfinite(value)]
    lost += [f"{name} is not finite" for name in _lost_weights(net)] if is_finite else []
    if lost:
        lr, optimizer = net.optimizer_.param_groups[0]["lr"], type(net.optimizer_).__name__
        raise TrainingError(
            f"Training diverged: in epoch {len(net.history)}, {', '.join(lost[:4])} "
            f"(lr={float(lr):g}, optimizer {optimizer}). {_REMEDY}"
        )


def warn_if_worse_than_guessing(net: Any) -> None:
    """Warn if the labelled loss of the last epoch is finite, but far beyond that of equal probabilities, log C."""
    loss = net.history[-1].get("labeled_loss", 0.0) / (1 + net.source_weight)
    guess = math.log(max(2, len(net.classes_)))
    if loss > _HOPELESS * guess and not any(getattr(callback, "load_best", False) for _, callback in net.callbacks_):
        warn_user(
            f"Training went wrong: the labelled loss of the last epoch is {loss:.3g}, that of guessing {guess:.2g}. "
            f"{_REMEDY} A network of your own wants standardised rows."
        )


def check_single_rows(module: nn.Module) -> None:
    """Raise a ValueError if a module normalises over batches, of which each holds a single row."""
    for name, part in module.named_modules():
        if _normalizes_batches(part):
            raise ValueError(
                f"batch_size=1 leaves a single row in every step, and {name} ({type(part).__name__}) makes the same of "
                "any row that is alone in its batch: nothing could be learned. Use batch_size=2 or more, or give a "
                "module without batch normalisation."
            )


def _normalizes_batches(part: nn.Module) -> bool:
    return isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats


def _lost_weights(net: Any) -> list[str]:
    values = [*_values(net.module_), *_values(net.criterion_)]
    # A sum is finite only if all values are; one look at all sums, for each makes the host wait for the device.
    if bool(torch.stack([value.sum(dtype=torch.float32) for _, value in values]).isfinite().all()):
        return []
    return [name for name, value in values if not value.isfinite().all()]


def _values(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from ((name, parameter.detach()) for name, parameter in module.named_parameters())
    for path, part in module.named_modules():
        # Of buffers these alone: others may hold infinities on purpose, as masks do.
        if _normalizes_batches(part):
            yield from ((f"{path}.{name}", buffer) for name, buffer in part.named_buffers(recurse=False))
