"""Methods of estimators: which there are or will be, and what skada's scorers hand to them."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["DomainMetadata", "gets_at_fit"]

_IGNORED = {"sample_domain": True, "allow_source": True}


class DomainMetadata:
    """Requests of prediction methods that take ``sample_domain`` and ``allow_source``, and read neither.

    So skada's scorers and pipelines, which pass them to every method, take the estimators of this package.
    """

    __metadata_request__predict: ClassVar[dict[str, bool]] = _IGNORED
    __metadata_request__predict_proba: ClassVar[dict[str, bool]] = _IGNORED
    __metadata_request__decision_function: ClassVar[dict[str, bool]] = _IGNORED
    __metadata_request__transform: ClassVar[dict[str, bool]] = _IGNORED
    __metadata_request__score: ClassVar[dict[str, bool]] = _IGNORED


def gets_at_fit(estimator: Any, method: str) -> bool:
    """Tell whether an estimator that lacks a method gets it when it is fitted, as `StackingClassifier` does."""
    try:
        getattr(estimator, method)
    except AttributeError as error:
        cause: BaseException | None = error
        while cause is not None:
            if _comes_with_fit(cause, method):
                return True
            cause = cause.__cause__ or cause.__context__
    return False


def _comes_with_fit(error: BaseException, method: str) -> bool:
    # Looked for in what is not there yet: None in the place of a default that `fit` fills, or a fitted attribute.
    name = getattr(error, "name", None)
    return isinstance(name, str) and (
        (name == method and getattr(error, "obj", error) is None) or (name.endswith("_") and not name.startswith("_"))
    )
