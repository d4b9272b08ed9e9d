"""Recipe: a dataclass of knobs that go by name, with a docstring and a function made for it."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from inspect import Signature, cleandoc, signature
from numbers import Real
from typing import Any, Protocol, TypeVar

from skada_active.recipes._base import ADADELTA, knobs_of

__all__ = ["as_recipe", "configured", "function_of"]

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
        ("budget", "n_rounds", "audit", "stopping", "round_epochs", "warm_start", "new_classes", "scoring"),
        "it belongs to a loop: ActiveAdaptationLoop(recipes.gsda(), strategy, budget=...)",
    ),
    "target_weight": "it is for estimators that know no domains; the network of a recipe has source_weight",
    **dict.fromkeys(("labeled_loss", "head", "head_temperature"), "recipes.sage decides it by regularizer"),
}
_RECIPES: dict[str, type] = {}
#: Names of the parameters of the first part of a `nn.Sequential`, which `torchvision_backbone` has its network in.
_PRETRAINED = "backbone.0.*"

#: What the classes of the recipes say of the knobs that they share, by the class that has them.
_SHARED_DOCS = {
    "RecipeLoop": """
budget, n_rounds, audit, stopping, round_epochs, warm_start, new_classes, scoring, verbose, random_state
    Parameters of the `ActiveAdaptationLoop`; two epochs after each of the first four rounds, 10 after later ones.
""",
    "TrainingKnobs": """
preprocessor : transformer, "auto" or None, default="auto"
    What makes rows ready for the network, learned without labels from the rows of all domains. ``"auto"``: gaps (NaN)
    of a table become the median of the column, texts and categories columns of 0 and 1, whose gaps become the most
    frequent value; tables of numbers without gaps, images and datasets stay as they are. ``None``: no preparation.
optimizer, lr, max_epochs, batch_size, target_batch_size, weight_decay
    Training, as in `AdaptationClassifier`, with other defaults: Adam with ``lr=3e-4``; in a loop, 10 epochs before the
    first round.
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
    common = {name for base in recipe.__bases__ for name in knobs_of(base)}
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
        others = [f"recipes.{other.FUNCTION}" for other in _RECIPES.values() if name in knobs_of(other)]  # type: ignore
        hint = f"did you mean {near[0]!r}" if near else _ELSEWHERE.get(name)
        if hint is None:
            hint = (
                f"{' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
                if others
                else "there is none like it"
            )
        raise TypeError(f"{function} has no parameter {name!r}: {hint}. Its parameters: {', '.join(own)}.")
