"""Recipes' common part: knobs of the training and of the loop, and the classes that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.base import clone
from sklearn.utils import get_tags

from skada_active.deep import AdaptationClassifier, AnchorSet, Objective, ObjectiveSum
from skada_active.loop import ActiveAdaptationLoop
from skada_active.recipes._tables import TablePreparation
from skada_active.utils._sklearn import HasMethods, StrOptions
from skada_active.utils.rows import is_dataset

if TYPE_CHECKING:
    from typing_extensions import Self

    from skada_active.session import AdaptationSession

__all__ = [
    "ADADELTA",
    "PreparedClassifier",
    "RecipeLoop",
    "SupervisedKnobs",
    "TablePreparing",
    "TrainingKnobs",
    "knobs_of",
]

#: Training of the tables of SDM and LADA, whose rounds begin after 10 of 40 epochs, two epochs apart.
ADADELTA: dict[str, Any] = {"optimizer": "adadelta", "lr": 0.1, "max_epochs": 10, "round_epochs": (2, 2, 2, 2, 22)}


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingKnobs:
    """Knobs of the training that every recipe has, see `AdaptationClassifier`.

    Their defaults are those of the benchmarks' tables; `benchmarks/choose_training.py` chose them on other data.
    """

    preprocessor: Any = "auto"
    module: Any = None
    init: Any = None
    standardize: bool | str = "auto"
    source_weight: float = 1.0
    unlabeled_pool: str = "all"
    class_weight: Any = None
    augmentation: Any = None
    mix_alpha: float = 0.2
    train_transform: Any = None
    batch_statistics: str = "mixed"
    frozen: Sequence[str] = ()
    channels_last: bool = False
    precision: str = "float32"
    n_heads: int | None = None
    max_epochs: int = 10
    lr: float = 3e-4
    backbone_lr: float = 1.0
    batch_size: int = 64
    target_batch_size: int | None = None
    optimizer: Any = "adam"
    weight_decay: float = 1e-5
    device: str = "auto"
    net_params: dict[str, Any] | None = None
    verbose: int = 0
    random_state: Any = None


@dataclass(kw_only=True, eq=False, repr=False)
class SupervisedKnobs(TrainingKnobs):
    """Knobs of the labelled loss and the head, of the recipes that leave them open."""

    labeled_loss: str = "s+t"
    head: str = "linear"
    head_temperature: float = 0.05


class TablePreparing(AdaptationClassifier):
    """`AdaptationClassifier` that prepares its rows: without labels, on those of the first fit, in every domain."""

    preprocessor: Any
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdaptationClassifier._parameter_constraints,
        "preprocessor": [HasMethods(["fit", "transform"]), StrOptions({"auto"}), None],
    }

    def fit(self, X: Any, y: Any, sample_domain: Any = None) -> Self:
        self._validate_params()
        return super().fit(self._prepared(X, reset=True), y, sample_domain)

    def partial_fit(self, X: Any, y: Any, sample_domain: Any = None, *, classes: Any = None, epochs: int = 1) -> Self:
        self._validate_params()
        X = self._prepared(X, reset=not hasattr(self, "net_"))
        return super().partial_fit(X, y, sample_domain, classes=classes, epochs=epochs)

    def pool_outputs(self, X: Any, *args: Any, **options: Any) -> dict[str, Any]:
        return super().pool_outputs(self._prepared(X), *args, **options)

    def _prepared(self, X: Any, *, reset: bool = False) -> Any:
        if reset:
            self.__dict__.pop("preprocessor_", None)
            if self.preprocessor is not None:
                self.preprocessor_ = self._fitted_preprocessor(X)
        return self.preprocessor_.transform(X) if hasattr(self, "preprocessor_") else X

    def _fitted_preprocessor(self, X: Any) -> Any:
        if isinstance(self.preprocessor, str):
            return TablePreparation().fit(X)
        try:
            return clone(self.preprocessor).fit(X)
        except (TypeError, ValueError) as error:
            if is_dataset(X):
                raise TypeError(
                    f"preprocessor={self.preprocessor!r} cannot prepare a dataset ({error}); give one that can, such "
                    "as an Embedding, or let the dataset transform its items and set preprocessor=None."
                ) from error
            raise type(error)(f"preprocessor={self.preprocessor!r}, which is fitted without labels: {error}") from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.preprocessor is not None and not isinstance(self.preprocessor, type):
            preprocessor = TablePreparation() if isinstance(self.preprocessor, str) else self.preprocessor
            inner = get_tags(preprocessor).input_tags
            tags.input_tags.allow_nan, tags.input_tags.string = inner.allow_nan, inner.string
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class PreparedClassifier(SupervisedKnobs, TablePreparing):
    """`AdaptationClassifier` of a recipe's loop, whose `preprocessor` makes its rows ready for the network."""

    objective: Objective | ObjectiveSum | None = None
    anchors: AnchorSet | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class RecipeLoop(TrainingKnobs, ActiveAdaptationLoop):
    """Loop whose estimator and strategy are built from its knobs, whenever they are read."""

    budget: Any = 0.05
    n_rounds: int = 5
    audit: int | float = 0.0
    stopping: Any = None
    round_epochs: Any = (2, 2, 2, 2, 10)
    warm_start: bool = True
    new_classes: str = "refuse"
    scoring: Any = None

    #: No knob: it is for estimators that know no domains, such as a strategy's own.
    target_weight: ClassVar[str] = "balanced"  # type: ignore[misc]
    FUNCTION: ClassVar[str]
    PAPER: ClassVar[dict[str, Any]] = {}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TablePreparing._parameter_constraints,
        **ActiveAdaptationLoop._parameter_constraints,
    }

    @property
    def estimator(self) -> PreparedClassifier:  # type: ignore[override]
        """The unfitted classifier that the knobs describe, a new one each time."""
        of_loop = {"verbose", "random_state"}
        shared = {*knobs_of(PreparedClassifier)}.intersection(knobs_of(type(self))) - of_loop
        return PreparedClassifier(**{**{name: getattr(self, name) for name in shared}, **self._training()})

    def check_knobs(self) -> None:
        """Raise an error if no estimator or no strategy can be built from the knobs."""
        _ = self.estimator, self.strategy

    @classmethod
    def from_session(cls, session: AdaptationSession) -> Self:
        """Return a fitted recipe that goes on with a session, which one of this class started.

        Parameters
        ----------
        session : AdaptationSession
            The session; the recipe holds it, not a copy.

        Returns
        -------
        RecipeLoop
            The fitted recipe, with the knobs of the one that started the session; its budget is the list of the
            session's rounds.

        Raises
        ------
        TypeError
            If something else started the session; `ActiveAdaptationLoop.from_session` takes any.
        """
        recipe = session.loop_
        if not isinstance(recipe, cls):
            raise TypeError(
                f"session was started by {type(recipe).__name__}, not by {cls.__name__}; use "
                f"{type(recipe).__name__}.from_session(session)."
            )
        settings = session.settings
        seed = settings.seed if settings.given_seed is None else settings.given_seed
        return recipe.set_params(budget=list(session.state.rounds), random_state=seed)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = get_tags(self.estimator).input_tags.string
        return tags

    def _training(self) -> dict[str, Any]:
        """Return the parameters of the classifier that the knobs of the paper stand for."""
        return {}


def knobs_of(recipe: type) -> list[str]:
    """Return the names of the knobs of a class, none where it is no dataclass."""
    return [knob.name for knob in fields(recipe)] if is_dataclass(recipe) else []
