"""Self-ensembling: a teacher that averages the student's past."""

from __future__ import annotations

import copy
from numbers import Real
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, ObjectiveTerm
from skada_active.deep.objectives._views import logits_of
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["SelfEnsembling"]


class SelfEnsembling(Objective):
    """Self-ensembling: on target rows the network agrees with a teacher, the moving average of its own weights.

    Student and teacher see an augmented view each. Needs an augmentation:
    ``AdaptationClassifier(SelfEnsembling(), augmentation="auto")``.

    Parameters
    ----------
    trade_off : float, default=3.0
        Weight of the loss.
    decay : float in [0, 1), default=0.99
        Weight of the past in the moving average, per step.
    confidence_threshold : float, default=0.968
        Rows count whose largest probability exceeds this for the teacher.

    See Also
    --------
    skada_active.deep.functional.self_ensembling_loss : The loss as a function.
    CDAC : Consistency of two views, without a teacher.

    Notes
    -----
    The teacher begins as a copy of the network. At the start of every step with target rows its weights follow those
    that the last step left; its buffers are the network's. It passes in training mode, as in the published code: batch
    normalisation takes the statistics of its own view of the target rows, as it does for the student's view, and
    dropout is on. It lies in the model, twice whose memory and whose time for target rows it costs (a pass of the
    student's view with gradient, one of the teacher's without), and is saved with it.

    What is learned comes from the views. On ready-made embeddings little noise taught nothing and few rows passed the
    threshold; ``FeatureNoise(scale=1.0, mask=0.5)`` with ``confidence_threshold=0.5`` did better.

    Predictions are the student's; the paper takes the teacher's. The paper's class balance loss, which some of its
    experiments add, is left out: `InformationMaximization` spreads predictions over the classes, too.

    References
    ----------
    .. [1] French et al., "Self-ensembling for visual domain adaptation", ICLR 2018.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, SelfEnsembling
    >>> AdaptationClassifier(SelfEnsembling(decay=0.9), augmentation="auto").objective
    SelfEnsembling(decay=0.9)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "decay": [Interval(Real, 0, 1, closed="left")],
        "confidence_threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, trade_off: float = 3.0, decay: float = 0.99, confidence_threshold: float = 0.968) -> None:
        super().__init__(trade_off)
        self.decay = decay
        self.confidence_threshold = confidence_threshold

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss, which holds the teacher."""
        return _SelfEnsembling(self)


class _SelfEnsembling(ObjectiveTerm):
    teacher: nn.Module

    def attach(self, network: nn.Module) -> None:
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def loss(self, step: Step) -> Tensor:
        rows = step.inputs[step.target]
        student_logits = logits_of(step.forward, step.another_view(rows))
        with torch.no_grad():
            self._follow(cast(nn.Module, step.forward))
            teacher_logits = logits_of(self.teacher, step.another_view(rows))
        threshold = self.config.confidence_threshold
        step.log("teacher_confident", (teacher_logits.softmax(dim=1).amax(dim=1) > threshold).float().mean())
        return functional.self_ensembling_loss(student_logits, teacher_logits, threshold=threshold)

    def _follow(self, network: nn.Module) -> None:
        for averaged, weight in zip(self.teacher.parameters(), network.parameters(), strict=True):
            averaged.lerp_(weight, 1 - self.config.decay)
        for kept, buffer in zip(self.teacher.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
