"""VAT: predictions that the worst small step of a row does not change."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._views import running_statistics_kept
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["VAT"]

# Length of the step for images, and its share of the length of a row of a table. Accuracy with 2 % of the target labels
# on gas drift (1 -> 8, 2 -> 6, 2 -> 8) and Office-31 (A -> D, D -> W, W -> D), two seeds: without the loss 79.5 and
# 92.5, with a share of .01 82.3 and 93.8, .03 82.9 and 94.0, .1 84.6 and 94.1, .2 84.6 and 93.4, .3 83.7 and 92.9.
_IMAGE_STEP, _TABLE_SHARE = 5.0, 0.1


class VAT(Objective):
    """Virtual adversarial training: predictions stay when a row moves a little in the direction that changes them most.

    The loss of VAADA, which S3VAADA trains with, is ``VAT() + DANN(trade_off=0.01)``.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the whole.
    epsilon : float or "auto", default="auto"
        Length of the step, in the units of the network's standardised inputs (of the rows as they are where the
        network does not begin with a `Standardize`). ``"auto"``: 5 for images, as in the paper; for tables a tenth of
        the length of a row: with standardised columns of their root mean square, ``sqrt(d)``, otherwise of each row.
    xi : float or "auto", default="auto"
        Length of the step that the search probes by; ``"auto"``: a tenth of `epsilon`. The published 1e-6 drowns in
        the rounding of float32.
    n_power : int, default=1
        Power iterations of the search.
    source_weight : float, default=1.0
        Weight of the loss of the source rows.
    target_weight : float, default=0.01
        Weight of the loss of the target rows.
    entropy_weight : float, default=0.01
        Weight of the conditional entropy of the target rows.

    See Also
    --------
    skada_active.query.S3VAADA : The query that reads what this loss lowers.
    skada_active.deep.functional.virtual_adversarial_loss : The loss as a function.

    Notes
    -----
    Costs, besides the step itself, three forward and two backward passes over source and target rows (``n_power + 2``
    and ``n_power + 1``): about three times the time of a step.

    Source and target pass the network apart, and the prediction that is kept is computed anew, so that batch
    normalisation takes the same statistics before and after the step. These passes leave its running statistics alone:
    rows that do not exist say nothing of those to be predicted.

    `AdaptationClassifier` fills ``virtual_divergence`` of a pool view by the same steps. With ``trade_off=0`` this
    objective trains nothing, and says how long these are.

    Labelled target rows have the loss of target rows; in the published code they have that of source rows.

    References
    ----------
    .. [1] Rangwani et al., "S3VAADA: Submodular Subset Selection for Virtual Adversarial Active Domain Adaptation",
       ICCV 2021.
    .. [2] Miyato et al., "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised
       Learning", TPAMI 2018, Eq. 5 to 8.

    Examples
    --------
    >>> from skada_active.deep import DANN, VAT, AdaptationClassifier
    >>> AdaptationClassifier(VAT(epsilon=2.0) + DANN(trade_off=0.01)).objective.get_params()["vat__epsilon"]
    2.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "epsilon": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "xi": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "n_power": [Interval(Integral, 0, None, closed="left")],
        "source_weight": [Interval(Real, 0, None, closed="left")],
        "target_weight": [Interval(Real, 0, None, closed="left")],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        epsilon: float | str = "auto",
        xi: float | str = "auto",
        n_power: int = 1,
        source_weight: float = 1.0,
        target_weight: float = 0.01,
        entropy_weight: float = 0.01,
    ) -> None:
        super().__init__(trade_off)
        self.epsilon = epsilon
        self.xi = xi
        self.n_power = n_power
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.entropy_weight = entropy_weight

    def loss(self, step: Step) -> Tensor:
        """Return the weighted divergences of source and target rows and the entropy of the target rows."""
        loss = self.entropy_weight * -functional.minimax_entropy_loss(step.logits[step.target])
        for weight, rows in ((self.source_weight, step.source), (self.target_weight, step.target)):
            inputs = step.inputs[rows]
            if weight and len(inputs):
                loss = loss + weight * self._adversarial_loss(step.forward, inputs)
        return loss

    def divergence(self, network: Callable[[Tensor], tuple[Tensor, Tensor]], inputs: Tensor, logits: Tensor) -> Tensor:
        """Return the virtual adversarial divergence of rows, shape (n,), which S3VAADA asks by.

        Parameters
        ----------
        network : callable
            Maps inputs to (logits, features); in evaluation mode.
        inputs : Tensor of shape (n, ...)
            Rows.
        logits : Tensor of shape (n, C)
            Logits of the rows.
        """
        search = self._search(network, inputs)
        return functional.virtual_adversarial_divergence(lambda rows: network(rows)[0], inputs, logits, **search)

    def _adversarial_loss(self, network: Callable[[Tensor], tuple[Tensor, Tensor]], inputs: Tensor) -> Tensor:
        if len(inputs) == 1:
            inputs = torch.cat([inputs, inputs])  # batch normalisation has no statistics of a single row
        with running_statistics_kept(network):
            with torch.no_grad():
                logits, _ = network(inputs)
            search = self._search(network, inputs)
            return functional.virtual_adversarial_loss(lambda rows: network(rows)[0], inputs, logits, **search)

    def _search(self, network: Any, inputs: Tensor) -> dict[str, Any]:
        """Return how the step is searched for."""
        scale = getattr(network, "input_scale", None)
        length = self._length(inputs, scale)
        if scale is not None:
            scale = scale.view(-1, *[1] * (inputs.ndim - 2))
        xi = None if self.xi == "auto" else self.xi
        return {"epsilon": length, "xi": xi, "n_iterations": self.n_power, "scale": scale}

    def _length(self, inputs: Tensor, scale: Tensor | None) -> Any:
        # No length depends on which rows are in the batch: a prediction must not.
        if self.epsilon != "auto":
            return self.epsilon
        if inputs.ndim != 2:
            return _IMAGE_STEP
        own = math.sqrt(inputs.shape[1]) if scale is not None else inputs.detach().norm(dim=1)
        return _TABLE_SHARE * own
