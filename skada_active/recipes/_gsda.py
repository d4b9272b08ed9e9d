"""GSDA: alignment in a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import GSDA
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import SupervisedKnobs, TablePreparing

__all__ = ["GSDAClassifier", "gsda"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class GSDAClassifier(SupervisedKnobs, TablePreparing):
    """GSDA: alignment of domain, groups and classes with synchronised gradients.

    An `AdaptationClassifier` that needs no target label and takes those there are; in an `ActiveAdaptationLoop` any
    query strategy goes with it.


    Parameters
    ----------
    alpha : float, default=0.02
        Weight of the conditional entropy: 0.02 for Office-31 and Office-Home, 0.2 for VisDA-2017 and partial domain
        adaptation.
    beta : float, default=1.0
        Weight of the gradient synchronisation: 1 for Office-31 and Office-Home, 10 for VisDA-2017 and partial domain
        adaptation.
    n_groups : int or "auto", default="auto"
        Number of groups of classes; ``"auto"`` is that of the paper for its data: 6 for Office-31, 13 for Office-Home
        and 4 for VisDA-2017.
    levels : sequence of {"domain", "group", "class"}, default=("domain", "group", "class")
        What is aligned. With ``beta=0`` these are the rows of the paper's ablation study, see `GSDA`.
    confidence_threshold : float, default=0.9
        Smallest probability with which a target row takes part in groups and classes.
    class_balanced : bool, default=True
        Whether classes count the same in the alignment of a batch.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal. It scales what the embedding learns from the alignment as a whole,
        so that the adversarial losses and the synchronisation stay 1 to `beta`, see `GSDA`.
    verbose, random_state
        As in the `AdaptationClassifier`.

    Attributes
    ----------
    objective : GSDA
        What the knobs describe, built whenever it is read: to change it, change the knobs.
    preprocessor_
        The fitted preprocessor; `n_features_in_` and `feature_names_in_` are those of the prepared columns.

    Notes
    -----
    It trains for 28 epochs, as long as the loops of the other recipes with all their rounds.

    ``preset="paper"`` of `gsda` changes nothing: `alpha` and `beta` are those of Office-31 and Office-Home, `n_groups`
    is the paper's for the data of its tables, and the paper says neither optimiser and learning rate nor the sizes of
    batches.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020, Tables 1
       to 4.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.GSDAClassifier(alpha=0.2, beta=10.0).objective
    GSDA(alpha=0.2, beta=10.0)
    """

    alpha: float = 0.02
    beta: float = 1.0
    n_groups: int | str = "auto"
    levels: Sequence[str] = ("domain", "group", "class")
    confidence_threshold: float = 0.9
    class_balanced: bool = True
    max_reversal: float = 1.0
    max_epochs: int = 28

    anchors: ClassVar[None] = None  # type: ignore[misc]  # no knob of this paper

    FUNCTION: ClassVar[str] = "gsda"
    PAPER: ClassVar[dict[str, Any]] = {}

    @property
    def objective(self) -> GSDA:  # type: ignore[override]
        """The objective that the knobs describe, a new one each time."""
        knobs = ("alpha", "beta", "n_groups", "levels", "confidence_threshold", "class_balanced", "max_reversal")
        return GSDA(**{name: getattr(self, name) for name in knobs})

    def check_knobs(self) -> None:
        """Raise an error if no objective can be built from the knobs."""
        _ = self.objective


gsda = function_of(GSDAClassifier)
