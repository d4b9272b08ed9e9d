"""GSDA: alignment of the domain, of groups of classes and of classes, with gradients in step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.functional._weighting import relative_weight
from skada_active.deep.objectives._adversarial import AdversarialObjective, AdversarialTerm, DomainTerm
from skada_active.deep.objectives._labels import known_or_predicted
from skada_active.deep.objectives._parallel import ParallelDiscriminators, packed_rows, reversed_logit, take_rows
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["GSDA"]

# From coarse to fine.
_LEVELS = ("domain", "group", "class")
# Classes in a group, about, when nobody says how many groups there are; fewer as long as groups are few.
_GROUP_SIZE, _SMALL_GROUP_SIZE, _FEW_GROUPS = 5, 3, 4


class GSDA(AdversarialObjective):
    """Gradient-synchronised alignment of domain, groups of classes and classes by discriminators.

    One discriminator tells the domains apart on all rows, one per group on the rows of its classes, one per class on
    those of the class; target rows count for a class by its predicted probability, or by their label where it is known.
    The embedding is trained against all of them. The synchronisation loss, which embedding and discriminators minimise
    together, asks the gradient magnitude of the domain to be the sum of those of the groups, and that of each group the
    sum of those of its classes. The conditional entropy of the target rows is lowered as well.

    Parameters
    ----------
    alpha : float, default=0.02
        Weight of the conditional entropy. The paper has 0.02 for Office-31 and Office-Home, 0.2 for VisDA-2017 and
        partial domain adaptation.
    beta : float, default=1.0
        Weight of the synchronisation loss; the paper has 10 where `alpha` is 0.2. All losses here are batch means, sums
        in the paper, so that `beta` weighs it against the adversarial losses as in the paper, whatever the batch.
    n_groups : int or "auto", default="auto"
        Number of groups, into which the classes are divided at random, as evenly as possible, without overlap; at most
        one per class. ``"auto"``: one per five classes, or up to four groups of three where that are more. These are
        the paper's 6 for the 31 classes of Office-31, 13 for the 65 of Office-Home and 4 for the 12 of VisDA-2017.
    levels : sequence of {"domain", "group", "class"}, default=("domain", "group", "class")
        Levels that are aligned. A level that is missing is skipped by the synchronisation: classes are then compared
        with the domain directly.
    hidden : sequence of int, default=(64,)
        Widths of the hidden layers of every discriminator.
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=1.0
        Coefficient of the gradient reversal that the schedule ends at. It scales what the embedding learns from the
        alignment as a whole, adversarial losses and synchronisation, whose ratio stays 1 to `beta`; the discriminators
        and the conditional entropy do not see it.
    trade_off : float, default=1.0
        Weight of the whole.
    syn_reduction : {"sum", "mean"}, default="sum"
        Whether the gaps between groups and their classes are added or averaged over the groups.
    confidence_threshold : float, default=0.9
        Target rows take part in groups and classes, and in the synchronisation, where their largest predicted
        probability is at least this, or their label is known.
    class_balanced : bool, default=True
        Whether rows are weighted so that the classes of a batch count the same, in each domain; target rows by their
        most probable class where they pass `confidence_threshold`. It stands in for the paper's resampling of rare
        classes; ``class_weight="balanced"`` of the classifier does the same for the labelled loss.
    random_state : int, RandomState instance or None, default=None
        Seed of the groups; ``None``: they follow the seed of the classifier.

    See Also
    --------
    skada_active.deep.functional.gradient_synchronization_loss : The synchronisation as a function.
    DANN : The domain level alone.
    TSF : Alignment class by class.
    skada_active.recipes : The method with its defaults.

    Notes
    -----
    With the coefficient r of the reversal the embedding descends ``alpha H + r (beta L_syn - L_adv)``, the
    discriminators ``L_adv + beta L_syn``: Eq. 16 and 17, L_adv being the losses of all levels, and r = 1 in the paper.
    Class probabilities are constants in the alignment terms, so that these leave the classifier alone (Eq. 17); the
    conditional entropy trains it. The rows of the paper's Table 1 are ``levels=("domain",), beta=0`` (Glb),
    ``levels=("domain", "class"), beta=0`` (+ Cls), ``beta=0`` (+ Grp) and the default (+ Grad Sync); the source
    alone is ``levels=(), alpha=0``, with target rows in the statistics of batch normalisation: that control, and not a
    classifier without objective, is what alignment is to be compared with. On features of Office-31 the
    last row gained nothing on the one before at any setting that was tried, see ``benchmarks/README.md``.

    The equations of the synchronisation loss are damaged in the text that we have, see
    `functional.gradient_synchronization_loss`. Where the paper is silent the reading is ours: the widths of the
    discriminators, `confidence_threshold` and which terms it governs, balancing by weights, the reversal's schedule,
    source and target counting half each as in `DANN`, and that the synchronisation compares the same rows at every
    level. Its weights for partial domain adaptation are not described; target classes that do not occur get little
    weight by the predicted probabilities.

    A row is passed through those discriminators only for which it has a weight, all discriminators of a level by one
    batched product. With a hidden layer of width H a step costs O(P D H) time and O(P (D + H)) memory for P pairs of
    rows and discriminators, about 3 for each source row and C + C / 5 + 1 for each confident target row.

    Supplies ``source_logit`` of the domain discriminator where ``levels`` has ``"domain"``. Logged by level are the
    losses (``gsda_class_loss``) and, unless ``beta=0``, the gradient magnitudes (``gsda_class_gradient``, summed over
    classes), besides ``gsda_sync_loss`` and ``target_entropy``.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020.

    Examples
    --------
    >>> from skada_active.deep import GSDA, AdaptationClassifier
    >>> AdaptationClassifier(GSDA(alpha=0.2, beta=10.0)).objective
    GSDA(alpha=0.2, beta=10.0)
    """

    reads_source: ClassVar[bool] = False  # the entropy is that of target rows alone
    loss_name: ClassVar[str | None] = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "n_groups": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "levels": ["array-like"],
        "syn_reduction": [StrOptions({"sum", "mean"})],
        "confidence_threshold": [Interval(Real, 0, 1, closed="both")],
        "class_balanced": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        alpha: float = 0.02,
        beta: float = 1.0,
        n_groups: int | str = "auto",
        levels: Sequence[str] = _LEVELS,
        hidden: Sequence[int] = (64,),
        schedule: str = "dann",
        max_reversal: float = 1.0,
        trade_off: float = 1.0,
        syn_reduction: str = "sum",
        confidence_threshold: float = 0.9,
        class_balanced: bool = True,
        random_state: Any = None,
    ) -> None:
        super().__init__(trade_off)
        self.alpha = alpha
        self.beta = beta
        self.n_groups = n_groups
        self.levels = levels
        self.hidden = hidden
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.syn_reduction = syn_reduction
        self.confidence_threshold = confidence_threshold
        self.class_balanced = class_balanced
        self.random_state = random_state

    @property
    def supplies(self) -> frozenset[str]:
        """Fields of a `PoolView` that the trained module can fill."""
        return frozenset({"source_logit"} if "domain" in self.levels else ())

    def _validate_params(self) -> None:
        super()._validate_params()
        if not set(self.levels) <= set(_LEVELS):
            raise ValueError(f"levels must hold names among {_LEVELS}, got {self.levels!r}.")

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminators.

        Raises
        ------
        ValueError
            If there are more groups than classes.
        """
        n_groups = _usual_number(n_classes) if isinstance(self.n_groups, str) else self.n_groups
        if n_groups > n_classes:
            raise ValueError(f"n_groups={n_groups} is more than the {n_classes} classes; use at most one per class.")
        group_of_class = _random_groups(n_groups, n_classes, self.random_state)
        kind = _GlobalGSDA if "domain" in self.levels else _GSDA
        return kind(self, n_features, n_groups, group_of_class)


def _usual_number(n_classes: int) -> int:
    return max(1, round(n_classes / _GROUP_SIZE), min(_FEW_GROUPS, n_classes // _SMALL_GROUP_SIZE))


def _random_groups(n_groups: int, n_classes: int, random_state: Any) -> Tensor:
    if random_state is None:
        order = torch.randperm(n_classes)  # torch's generator is seeded by the classifier
    else:
        order = torch.as_tensor(check_random_state(random_state).permutation(n_classes))
    return order % n_groups


class _GSDA(AdversarialTerm):
    group_of_class: Tensor

    def __init__(self, config: GSDA, n_features: int, n_groups: int, group_of_class: Tensor) -> None:
        super().__init__(config)
        self.n_groups = n_groups
        sizes = {"domain": 1, "group": n_groups, "class": len(group_of_class)}
        self.discriminators = nn.ModuleDict(
            {
                level: ParallelDiscriminators(sizes[level], n_features, config.hidden)
                for level in _LEVELS
                if level in config.levels
            }
        )
        self.register_buffer("group_of_class", group_of_class)

    def _of(self, level: str) -> ParallelDiscriminators:
        return cast(ParallelDiscriminators, self.discriminators[level])

    def loss(self, step: Step) -> Tensor:
        entropy = -functional.minimax_entropy_loss(step.logits[step.target])
        step.log("target_entropy", entropy)
        loss = self.config.alpha * entropy
        if step.source.stop and self.discriminators:  # one domain alone cannot be told from another
            loss = loss + self._alignment(step)
            self.mark_trained(step)
        return loss

    def _alignment(self, step: Step) -> Tensor:
        # Eq. 16 weighs L_syn and the adversarial losses by beta : 1 in the embedding, whatever the reversal's
        # coefficient: it scales the gradients of both here, and what comes later turns the sign of the latter.
        features = functional.gradient_reversal(step.source_and_target(step.features), -self.reversal(step))
        if not self.config.beta:
            features = functional.gradient_reversal(features)
        weights, takes_part = self._weights(step)
        losses, magnitudes = [], {}
        for level, weight in weights.items():
            numbers = packed_rows(weight)
            rows, pairs = take_rows(features, numbers), (numbers < step.source.stop, weight.gather(1, numbers))
            if self.config.beta:
                logit, magnitude = self._measured(level, rows, *pairs)
                # Levels are compared on the rows that take part in all of them.
                magnitudes[level] = (magnitude * takes_part[numbers]).sum(dim=1)
                step.log(f"gsda_{level}_gradient", magnitudes[level].sum())
            else:
                logit = self._of(level)(rows)
            losses.append(functional.weighted_domain_losses(logit, *pairs).sum())
            step.log(f"gsda_{level}_loss", losses[-1])
        return reduce(torch.add, [*losses, *self._synchronization(step, magnitudes)])

    def _measured(self, level: str, rows: Tensor, is_source: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits behind the reversal, and gradient magnitudes before it: features lower L_syn, too."""
        logit, gradient = self._of(level).with_gradient(rows)
        magnitude = functional.domain_gradient_magnitudes(logit, gradient.norm(dim=2), is_source, weight)
        return reversed_logit(logit, rows, gradient, 1.0), magnitude

    def _synchronization(self, step: Step, magnitudes: dict[str, Tensor]) -> list[Tensor]:
        gaps = []
        for (coarse, whole), (fine, parts) in pairwise(magnitudes.items()):
            grouped = (coarse, fine) == ("group", "class")
            parent = self.group_of_class if grouped else self.group_of_class.new_zeros(len(parts))
            reduction = self.config.syn_reduction
            gaps.append(functional.gradient_synchronization_loss(whole, parts, parent, reduction=reduction))
        if not gaps:
            return []
        gap = reduce(torch.add, gaps)
        step.log("gsda_sync_loss", gap)
        return [self.config.beta * gap]

    @torch.no_grad()
    def _weights(self, step: Step) -> tuple[dict[str, Tensor], Tensor]:
        """Return the weight of each row for the discriminators of each level, (K, n), and which rows are confident."""
        proba, n_source = self._proba(step), step.source.stop
        confidence, pseudo_label = proba.max(dim=1)
        takes_part = confidence >= self.config.confidence_threshold
        labels = torch.where(takes_part, pseudo_label, -1)
        of_source, of_target = map(self._balance, labels.tensor_split([n_source]))
        if step.source_importance is not None:
            of_source = relative_weight(of_source * step.source_importance)
        row_weight = torch.cat([rows / (2 * len(rows)) for rows in (of_source, of_target)])
        by_class = row_weight * takes_part * proba.T
        by_group = by_class.new_zeros(self.n_groups, len(proba)).index_add(0, self.group_of_class, by_class)
        weights = {"domain": row_weight[None], "group": by_group, "class": by_class}
        return {level: weights[level] for level in self.discriminators}, takes_part

    def _proba(self, step: Step) -> Tensor:
        labels, logits = map(step.source_and_target, (step.labels, step.logits))
        return known_or_predicted(labels, logits.softmax(dim=1))

    def _balance(self, labels: Tensor) -> Tensor:
        return functional.class_balance_weights(labels) if self.config.class_balanced else torch.ones_like(labels)


class _GlobalGSDA(DomainTerm, _GSDA):
    def logit_of(self, inputs: Tensor) -> Tensor:
        return self._of("domain")(inputs[None])[0]
