"""The five papers' methods, each in one call, and a baseline to compare them with."""

from __future__ import annotations

from typing import Any

from skada_active.deep import (
    DANN,
    GSDA,
    M3SDA,
    MME,
    TSF,
    AdaptationClassifier,
    AnchorSet,
    MarginLoss,
    Objective,
    ObjectiveSum,
)
from skada_active.loop import ActiveAdaptationLoop
from skada_active.query import GALA, LAS, SAGE, SDM, QueryStrategy

__all__ = ["baseline", "gala", "gsda", "lada", "sage", "sdm"]


def sdm(
    *,
    margin: float = 1.0,
    gradient_weight: float = 0.01,
    dynamic: bool = True,
    labeled_loss: str = "s+t",
    budget: Any = 0.05,
    n_rounds: int = 5,
    round_epochs: Any = 2,
    random_state: Any = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return SDM-AG: the dynamic max-margin loss, and margin sampling with gradient consistency.

    Parameters
    ----------
    margin : float, default=1.0
        The margin m of the loss on normalised logits, and of the loss that the query differentiates.
    gradient_weight : float, default=0.01
        Weight lambda of the gradient consistency in the query; 0: plain margin sampling (SDM, SDM-A).
    dynamic : bool, default=True
        Whether hard rows count more in the loss; ``False``: SDM, SDM-G.
    labeled_loss : {"s+t", "joint"}, default="s+t"
        How source and labelled target rows are averaged; the paper pools them, ``"joint"``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 5 % in 5 rounds, with 2 epochs between them.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Tables 1 to 3.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.sdm(margin=0.5).estimator.objective
    MarginLoss(dynamic=True, margin=0.5)
    """
    estimator = AdaptationClassifier(MarginLoss(margin=margin, dynamic=dynamic), labeled_loss=labeled_loss, **params)
    strategy = SDM(gradient_weight=gradient_weight, margin=margin)
    return _loop(estimator, strategy, budget, n_rounds, round_epochs, random_state)


def lada(
    *,
    neighbors: str | None = "local",
    n_neighbors: int = 10,
    oversampling: Any = "auto",
    confidence: float = 0.9,
    class_balanced: bool = True,
    augmentation: Any = "auto",
    objective: Objective | ObjectiveSum | None = None,
    budget: Any = 0.05,
    n_rounds: int = 5,
    round_epochs: Any = 2,
    random_state: Any = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return LADA: queries by local inconsistency, and a progressive anchor set around the answers.

    The ablations of the paper's Table 6 are parameters: ``oversampling=0`` (no diverse selection), ``neighbors=None``
    (no anchor augmentation), ``augmentation=None`` (no RandAugment), ``class_balanced=False``.

    Parameters
    ----------
    neighbors : {"local", "random"} or None, default="local"
        Rows that may join the anchor set: neighbours of an anchor (LAA), any target row (RAA); ``None``: no anchor set,
        training on the labelled rows alone.
    n_neighbors : int, default=10
        Number K of neighbours in the query and of the anchors; the paper takes 5 for Office-31.
    oversampling : float or "auto", default="auto"
        Ratio M of candidates beyond the budget of the round, see `LAS`.
    confidence : float, default=0.9
        Smallest predicted probability of a row that joins.
    class_balanced : bool, default=True
        Whether confident rows of frequent classes are turned away by chance.
    augmentation : callable, "auto" or None, default="auto"
        Strong augmentation that the anchors are mixed with, see `AdaptationClassifier`.
    objective : Objective, default=None
        Domain adaptation loss beside, such as ``MME()`` or ``MCC()`` (the paper's Tables 1 to 3); then mostly with
        ``neighbors=None``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 5 or 10 % in 5 rounds, with 2 epochs between them.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 6.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.lada(n_neighbors=5).strategy
    LAS(n_neighbors=5)
    """
    anchors = None
    if neighbors is not None:
        anchors = AnchorSet(neighbors, n_neighbors, confidence=confidence, class_balanced=class_balanced)
    estimator = AdaptationClassifier(objective, anchors=anchors, augmentation=augmentation, **params)
    strategy = LAS(n_neighbors=n_neighbors, oversampling=oversampling)
    return _loop(estimator, strategy, budget, n_rounds, round_epochs, random_state)


def sage(
    *,
    regularizer: str = "s+t",
    trade_off: float = 1.0,
    projection: str | None = "pop",
    diversity: str | None = "farthest_first",
    budget: Any = 0.1,
    n_rounds: int = 10,
    round_epochs: Any = 5,
    random_state: Any = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return SAGE: stochastic adversarial gradients of a classifier trained with the transferability loss.

    Before the first round the classifier adapts without labels (the paper's UDA pre-training) for `max_epochs`. The
    paper evaluates on a half of the target that is never queried: see `skada_active.holdout_target`.

    Parameters
    ----------
    regularizer : {"s+t", "joint", "mme"}, default="s+t"
        How the labelled rows enter: the mean of each domain, one mean of all (S∪T), or S+T with minimax entropy
        (weight 0.1, cosine head of temperature 0.05).
    trade_off : float, default=1.0
        Weight lambda of the transferability loss.
    projection : {"pop"} or None, default="pop"
        Whether the mean gradient is projected out (positive orthogonal projection).
    diversity : {"farthest_first", "kmeans++"} or None, default="farthest_first"
        How the batch is spread out; ``None``: the longest gradients.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 10 rounds of 8 or 16 labels, of 16 or 128 for VisDA.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    Raises
    ------
    ValueError
        If `regularizer` is unknown.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Tables 1
       and 2.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.sage(regularizer="mme").estimator.head
    'cosine'
    """
    if regularizer not in ("s+t", "joint", "mme"):
        raise ValueError(f'regularizer must be "s+t", "joint" or "mme", got {regularizer!r}.')
    objective: Objective | ObjectiveSum = TSF(trade_off=trade_off)
    if regularizer == "mme":
        objective, params = objective + MME(trade_off=0.1), {"head": "cosine", "head_temperature": 0.05, **params}
    elif regularizer == "joint":
        params = {"labeled_loss": "joint", **params}
    estimator = AdaptationClassifier(objective, **params)
    return _loop(
        estimator, SAGE(projection=projection, diversity=diversity), budget, n_rounds, round_epochs, random_state
    )


def gala(
    *,
    alpha: float = 0.6,
    mode: str = "full",
    source_aggregation: str = "mean",
    base: str | None = None,
    budget: Any = 0.01,
    n_rounds: int = 1,
    round_epochs: Any = 20,
    random_state: Any = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return GALA: global clusters of gradients, and in each the row with the widest gap to the sources.

    Parameters
    ----------
    alpha : float, default=0.6
        Share of the most uncertain rows that a cluster keeps.
    mode : {"full", "global", "local"}, default="full"
        Both steps, or one of them alone (the paper's ablation).
    source_aggregation : {"mean", "min", "max"}, default="mean"
        How the gaps to several sources become one.
    base : {"dann", "m3sda"} or None, default=None
        Domain adaptation underneath: ``"dann"`` with one discriminator per source, ``"m3sda"`` moment matching,
        ``None``: the labelled rows alone.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 1 %; in how many rounds, the text that we have does not
        say.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    Raises
    ------
    ValueError
        If `base` is unknown.

    References
    ----------
    .. [1] Zheng et al., "GALA: A GlobAl-LocAl Approach for Multi-Source Active Domain Adaptation", arXiv:2510.22214,
       2025, Tables I to III; our reading of a summary, see `GALA`.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.gala(base="dann").estimator.objective
    DANN(discriminator='per_source')
    """
    bases = {None: None, "dann": DANN(discriminator="per_source"), "m3sda": M3SDA()}
    if base not in bases:
        raise ValueError(f'base must be "dann", "m3sda" or None, got {base!r}.')
    strategy = GALA(alpha=alpha, mode=mode, source_aggregation=source_aggregation)
    estimator = AdaptationClassifier(bases[base], **params)
    return _loop(estimator, strategy, budget, n_rounds, round_epochs, random_state)


def gsda(
    *,
    alpha: float = 0.02,
    beta: float = 1.0,
    n_groups: Any = "auto",
    confidence_threshold: float = 0.9,
    class_balanced: bool = True,
    random_state: Any = None,
    **params: Any,
) -> AdaptationClassifier:
    """Return GSDA: alignment of domain, groups and classes with synchronised gradients.

    Parameters
    ----------
    alpha : float, default=0.02
        Weight of the conditional entropy: 0.02 for Office-31 and Office-Home, 0.2 for VisDA-2017 and partial domain
        adaptation.
    beta : float, default=1.0
        Weight of the gradient synchronisation: 1 for Office-31 and Office-Home, 10 for VisDA-2017 and partial domain
        adaptation.
    n_groups : int or "auto", default="auto"
        Number of groups of classes; the paper has 6 for Office-31, 13 for Office-Home and 4 for VisDA-2017.
    confidence_threshold : float, default=0.9
        Smallest probability with which a target row takes part in groups and classes.
    class_balanced : bool, default=True
        Whether classes count the same in a batch.
    random_state : int, RandomState instance or None, default=None
        Seed of the classifier.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` or `lr`.

    Returns
    -------
    AdaptationClassifier
        Not fitted. It needs no target label and takes those there are; in an `ActiveAdaptationLoop` any query strategy
        goes with it.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020, Tables 1
       to 5.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.gsda(alpha=0.2, beta=10.0).objective
    GSDA(alpha=0.2, beta=10.0)
    """
    objective = GSDA(
        alpha=alpha,
        beta=beta,
        n_groups=n_groups,
        confidence_threshold=confidence_threshold,
        class_balanced=class_balanced,
    )
    return AdaptationClassifier(objective, random_state=random_state, **params)


def baseline(
    query: QueryStrategy,
    *,
    budget: Any = 0.05,
    n_rounds: int = 5,
    round_epochs: Any = 2,
    random_state: Any = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return a query strategy with training on the labelled rows alone, as the papers' baselines.

    Parameters
    ----------
    query : QueryStrategy
        The query strategy, such as ``RandomSampling()``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 3, "ft w/ CE loss".

    Examples
    --------
    >>> from skada_active import recipes
    >>> from skada_active.query import MarginSampling
    >>> recipes.baseline(MarginSampling(), budget=20).strategy
    MarginSampling()
    """
    if not isinstance(query, QueryStrategy):
        raise TypeError(f"query must be a query strategy such as MarginSampling(), got {query!r}.")
    return _loop(AdaptationClassifier(**params), query, budget, n_rounds, round_epochs, random_state)


def _loop(
    estimator: AdaptationClassifier,
    strategy: QueryStrategy,
    budget: Any,
    n_rounds: int,
    round_epochs: Any,
    random_state: Any,
) -> ActiveAdaptationLoop:
    return ActiveAdaptationLoop(
        estimator, strategy, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
