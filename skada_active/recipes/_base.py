"""Recipes' common part: knobs of the training and of the loop, and the names of those that there are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import Signature, cleandoc, signature
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

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
    "as_recipe",
    "configured",
    "function_of",
]

_Recipe = TypeVar("_Recipe")
_Made = TypeVar("_Made", covariant=True)
#: Arguments that people look for in a recipe, and where they are.
_ELSEWHERE = {
    "estimator": "a recipe builds it from its knobs; ActiveAdaptationLoop(estimator, recipe.strategy) has any",
    "strategy": "a recipe builds it from its knobs; ActiveAdaptationLoop(recipe.estimator, strategy) has any",
    "query": "a recipe builds its strategy from its knobs; recipes.baseline(query) has any",
    "objective": "a recipe builds it from its knobs; recipes.lada and recipes.baseline take another one",
    "anchors": "recipes.lada builds the anchor set from its knobs",
    "preset": "the function of the recipe takes it, such as recipes.lada(preset='paper')",
    **dict.fromkeys(
        ("budget", "n_rounds", "round_epochs", "warm_start", "new_classes", "scoring"),
        "it belongs to a loop: ActiveAdaptationLoop(recipes.gsda(), strategy, budget=...)",
    ),
    **dict.fromkeys(("labeled_loss", "head", "head_temperature"), "recipes.sage decides it by regularizer"),
}
_RECIPES: dict[str, type] = {}
#: Training of the tables of SDM and LADA, whose rounds begin after 10 of 40 epochs, two epochs apart.
ADADELTA: dict[str, Any] = {"optimizer": "adadelta", "lr": 0.1, "max_epochs": 10, "round_epochs": (2, 2, 2, 2, 22)}
#: Names of the parameters of the first part of a `nn.Sequential`, which `torchvision_backbone` has its network in.
_PRETRAINED = "backbone.0.*"


#: What the classes of the recipes say of the knobs that they share, by the class that has them.
_SHARED_DOCS = {
    "RecipeLoop": """
budget, n_rounds, round_epochs, warm_start, new_classes, scoring, verbose, random_state
    Parameters of the `ActiveAdaptationLoop`.
""",
    "TrainingKnobs": """
preprocessor : transformer, "auto" or None, default="auto"
    What makes rows ready for the network, learned without labels from the rows of all domains. ``"auto"``: gaps (NaN)
    of a table become the median of the column, texts and categories columns of 0 and 1, whose gaps become the most
    frequent value; tables of numbers without gaps, images and datasets stay as they are. ``None``: no preparation.
max_epochs, lr, batch_size, target_batch_size, optimizer, weight_decay
    Training, as in `AdaptationClassifier`; in a loop, `max_epochs` are those before the first round.
module, standardize, batch_statistics, n_heads, source_weight, unlabeled_pool, class_weight, device, net_params
    Likewise.
augmentation, mix_alpha, train_transform
    Likewise.
""",
    "SupervisedKnobs": """
labeled_loss, head, head_temperature
    Likewise.
""",
}
_ATTRIBUTES = """
Attributes
----------
estimator, strategy
    What the knobs describe, built whenever it is read: to change them, change the knobs.
"""


def as_recipe(recipe: type[_Recipe]) -> type[_Recipe]:
    """Make a dataclass a recipe: its knobs by name alone, an unknown one answered by its name, the shared described."""
    init: Callable[..., None] = recipe.__init__

    @wraps(init)
    def named_init(self: Any, *args: Any, **knobs: Any) -> None:
        if type(self) is recipe:
            _check_names(recipe, args, knobs)
        init(self, *args, **knobs)

    # The paper's knobs first, as they are shown in notebooks and in the documentation.
    itself, *parameters = signature(init).parameters.values()
    common = {name for base in recipe.__bases__ for name in _knobs_of(base)}
    ordered = sorted(parameters, key=lambda parameter: parameter.name in common)
    named_init.__signature__ = Signature([itself, *ordered])  # type: ignore[attr-defined]
    recipe.__init__ = named_init  # type: ignore[method-assign, assignment]
    recipe.__doc__ = _described(recipe)
    _RECIPES[recipe.__name__] = recipe
    return recipe


def _described(recipe: type) -> str:
    """Return the docstring of a recipe, in which what it shares with the others follows its own knobs."""
    own, notes, rest = cleandoc(recipe.__doc__ or "").partition("\nNotes\n")
    own, attributes, described = own.partition("\nAttributes\n")
    names = {base.__name__ for base in recipe.__mro__}
    shared = [line for name, text in _SHARED_DOCS.items() if name in names for line in text.strip("\n").splitlines()]
    for number, line in enumerate(shared):
        if not line.startswith(" "):
            shared[number] = ", ".join(knob for knob in line.split(", ") if f"\n{knob} : " not in own)
    attributes = attributes + described if attributes else _ATTRIBUTES
    return "\n".join([own.rstrip(), *shared, attributes.rstrip(), notes]) + rest


class RecipeFunction(Protocol[_Made]):
    """Function of a recipe."""

    def __call__(self, *, preset: str = "default", **knobs: Any) -> _Made: ...


def function_of(recipe: type[_Recipe]) -> RecipeFunction[_Recipe]:
    """Return the function of a recipe, which makes one with the knobs of a preset and those given."""
    kind, name = recipe.__name__, recipe.FUNCTION  # type: ignore[attr-defined]

    def make(*, preset: str = "default", **knobs: Any) -> _Recipe:
        return configured(recipe, preset, knobs)

    make.__name__ = make.__qualname__ = name
    make.__module__ = recipe.__module__
    make.__annotations__["return"] = recipe
    make.__doc__ = f"""{kind} with these knobs.

    Parameters
    ----------
    preset : {{"default", "paper"}}, default="default"
        ``"paper"``: what the paper published for knobs that are not given, where it is not the default; see the notes
        of `{kind}`.
    **knobs
        Parameters of `{kind}`.

    Returns
    -------
    {kind}
        Not fitted.

    Raises
    ------
    TypeError
        If there is no such knob; the error names the one that is meant.
    ValueError
        If a value is not one that a knob can have, or `preset` is unknown.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.{name}(random_state=0)
    {kind}(random_state=0)
    """
    return make


def configured(recipe: type[_Recipe], preset: str, knobs: dict[str, Any]) -> _Recipe:
    """Return a recipe with the knobs of a preset and those given, which win; what it is built from is valid."""
    if preset not in ("default", "paper"):
        raise ValueError(f'preset must be "default" or "paper", got {preset!r}.')
    made: Any = recipe(**{**(_of_paper(recipe, knobs) if preset == "paper" else {}), **knobs})
    made.check_knobs()
    return made


def _of_paper(recipe: type, knobs: dict[str, Any]) -> dict[str, Any]:
    """Return what the paper published; the pretrained part of a module learns at a tenth of its learning rate."""
    published: dict[str, Any] = dict(recipe.PAPER)  # type: ignore[attr-defined]
    lr = knobs.get("lr", published.get("lr"))
    if ADADELTA.items() <= published.items() and knobs.get("module") is not None and isinstance(lr, Real):
        published["net_params"] = {"optimizer__param_groups": [(_PRETRAINED, {"lr": lr / 10})]}
    return published


def _check_names(recipe: type, args: tuple[Any, ...], knobs: dict[str, Any]) -> None:
    function = f"recipes.{recipe.FUNCTION} ({recipe.__name__})"  # type: ignore[attr-defined]
    if args:
        raise TypeError(f"{function} takes its parameters by name alone, got {args[0]!r} without one.")
    own = list(signature(recipe).parameters)
    for name in knobs:
        if name in own:
            continue
        near = get_close_matches(name, own, n=1, cutoff=0.75)
        others = [f"recipes.{other.FUNCTION}" for other in _RECIPES.values() if name in _knobs_of(other)]  # type: ignore
        hint = f"did you mean {near[0]!r}" if near else _ELSEWHERE.get(name)
        if hint is None:
            hint = (
                f"{' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
                if others
                else "there is none like it"
            )
        raise TypeError(f"{function} has no parameter {name!r}: {hint}. Its parameters: {', '.join(own)}.")


def _knobs_of(recipe: type) -> list[str]:
    return [knob.name for knob in fields(recipe)] if is_dataclass(recipe) else []


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingKnobs:
    """Knobs of the training that every recipe has, see `AdaptationClassifier`."""

    preprocessor: Any = "auto"
    module: Any = None
    standardize: bool | str = "auto"
    source_weight: float = 1.0
    unlabeled_pool: str = "all"
    class_weight: Any = None
    augmentation: Any = None
    mix_alpha: float = 0.2
    train_transform: Any = None
    batch_statistics: str = "mixed"
    n_heads: int | None = None
    max_epochs: int = 20
    lr: float = 1e-3
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
        if is_dataset(X):
            raise TypeError(
                f"preprocessor={self.preprocessor!r} cannot prepare a dataset; let the dataset transform its items, "
                "and set preprocessor=None."
            )
        try:
            return clone(self.preprocessor).fit(X)
        except (TypeError, ValueError) as error:
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
    round_epochs: Any = 2
    warm_start: bool = True
    new_classes: str = "refuse"
    scoring: Any = None

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
        shared = {*_knobs_of(PreparedClassifier)}.intersection(_knobs_of(type(self))) - of_loop
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
