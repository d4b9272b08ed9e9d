"""The loop as one estimator: ask, answer, retrain, until the budget is spent."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from skada_active.loop._saving import SavedLoop
from skada_active.loop._sessions import LoopSessions
from skada_active.loop._start import start_session
from skada_active.loop._validation import check_data, check_oracle, hide_target
from skada_active.loop.oracle import ArrayOracle, Oracle
from skada_active.loop.prediction import DelegatedPrediction
from skada_active.query import QueryStrategy
from skada_active.utils._sklearn import HasMethods, StrOptions

__all__ = ["ActiveAdaptationLoop"]


class ActiveAdaptationLoop(
    SavedLoop, LoopSessions, DelegatedPrediction, MetaEstimatorMixin, ClassifierMixin, BaseEstimator
):
    """Adapt a classifier to a target domain by buying the labels that help most.

    The estimator is trained on the labelled rows; then, round by round, the query strategy chooses target rows, the
    oracle labels them, and the estimator is trained on. The fitted loop is a classifier.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier: `AdaptationClassifier` (the default), any scikit-learn classifier, or a `Pipeline` that ends in one
        of them. One whose ``fit`` takes ``sample_domain`` sees all rows, any other one the labelled rows.
    strategy : QueryStrategy, default=None
        Query strategy; ``None``: `MarginSampling`. It reads the loop's estimator, unless it brings its own.
    budget : int, float, sequence or BudgetSchedule, default=0.05
        Labels to buy: a count, a fraction of the initial pool, one of them per round, or a schedule.
    n_rounds : int, default=5
        Number of rounds, where `budget` does not say it.
    round_epochs : int or sequence of int, default=5
        Epochs of training after each round, for estimators that go on training; a sequence gives the rounds one by one,
        its last entry standing for all later ones.
    warm_start : bool, default=True
        Whether to go on training after a round, where the estimator can (`AdaptationClassifier`); otherwise it is
        trained anew on everything known.
    new_classes : {"refuse", "learn"}, default="refuse"
        What an answer of a class means that the model does not know: a slip of the pen, which is refused, or a new
        class, for which the estimator is trained anew. Without an oracle, `fit` always learns: the answers are in `y`.
    verbose : int, default=0
        1: a progress bar over the labels bought, with the accuracies that are known.
    random_state : int, RandomState instance or None, default=None
        Seed of the loop, of the estimator (where its own ``random_state`` is None) and of the strategy (likewise).

    Attributes
    ----------
    estimator_
        The fitted model.
    strategy_ : QueryStrategy
        The strategy that was asked; it reads the model anew each round, so it is not fitted itself.
    classes_ : ndarray
        Labels that the model knows.
    queried_ids_ : ndarray of int64
        Row numbers of the labels bought, in order of purchase.
    query_round_ : ndarray of shape (n,), int64
        Round in which a row's label was bought; 0 known from the start (source rows too), -1 never.
    n_queries_ : int
        Number of labels bought.
    termination_condition_ : str
        ``"budget"``, ``"pool"`` (no row is left to ask about, whether or not budget is left) or ``"no_target"``.
    history_ : list of dict
        One entry per round: ``round``, ``ids`` bought and their ``utilities``, ``abstained_ids``, ``n_queries`` so far,
        ``class_counts`` of the revealed target labels, ``seconds`` (query, oracle, train), ``loss`` of the last epoch
        by term, and ``accuracy``: *transductive* (all target rows), *unqueried* (target rows never bought), *holdout*
        (`eval_set`), each None where the labels are not known.
    initial_ : dict
        The same entry for the model before any purchase (round 0).
    session_ : AdaptationSession
        The session that was run; it holds the data, so that `resume` can go on.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=20, n_rounds=4, random_state=0)
    >>> loop.fit(X, y, sample_domain=sample_domain).n_queries_
    20
    >>> [entry["n_queries"] for entry in loop.history_]
    [5, 10, 15, 20]
    """

    # What scikit-learn's `_validate_params` checks; the schedule checks budget and rounds.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "strategy": [QueryStrategy, None],
        "warm_start": ["boolean"],
        "new_classes": [StrOptions({"refuse", "learn"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True, "labeled_target": True}

    def __init__(
        self,
        estimator: Any = None,
        strategy: Any = None,
        *,
        budget: Any = 0.05,
        n_rounds: int = 5,
        round_epochs: Any = 5,
        warm_start: bool = True,
        new_classes: str = "refuse",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.strategy = strategy
        self.budget = budget
        self.n_rounds = n_rounds
        self.round_epochs = round_epochs
        self.warm_start = warm_start
        self.new_classes = new_classes
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        oracle: Oracle | None = None,
        labeled_target: ArrayLike | None = None,
        eval_set: tuple[Any, ArrayLike] | None = None,
    ) -> ActiveAdaptationLoop:
        """Run the loop until the budget is spent or the pool is empty.

        Parameters
        ----------
        X : array-like of shape (n, ...) or dataset
            Rows of all domains.
        y : array-like of shape (n,)
            Labels. Without an `oracle`, those of the target rows are its answers: hidden until they are bought. With
            one, a target label that is present is known from the start.
        sample_domain : array-like of shape (n,) of int, default=None
            Domain number per row: ``>= 0`` source, ``< 0`` target. ``None``: all rows are source; the estimator is
            trained and nothing is asked.
        oracle : callable, default=None
            ``oracle(ids, X_rows) -> labels`` answers; a missing label (-1, NaN or None, by the type of `y`) is an
            abstention: it costs nothing, and another row is asked about. If it raises or answers something else than a
            label per row, the answers so far are kept: `resume` goes on.
        labeled_target : array-like of shape (n,), bool, default=None
            Target rows whose label in `y` is known from the start; only without an `oracle`.
        eval_set : tuple (X, y), default=None
            Held-out rows for the holdout accuracy of each round.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        ValueError
            If the data do not fit together, or the estimator lacks what the strategy reads (before any training).
        """
        X, y, roles = check_data(self, X, y, sample_domain)
        answers = None
        if oracle is None:
            roles, answers = hide_target(y, roles, labeled_target), y.copy()
            oracle = ArrayOracle(answers)
        elif labeled_target is not None:
            raise ValueError("labeled_target goes without an oracle; with one, a label present in y is known.")
        check_oracle(oracle)
        return self._run(start_session(self, X, y, roles, answers=answers, eval_set=eval_set), oracle)

    def learning_curve(self, accuracy: str = "unqueried") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return how an accuracy grew with the labels bought.

        Parameters
        ----------
        accuracy : {"unqueried", "transductive", "holdout"}, default="unqueried"
            Which accuracy.

        Returns
        -------
        n_queries : ndarray of shape (n_rounds + 1,), int64
            Labels bought, starting with 0.
        accuracy : ndarray of shape (n_rounds + 1,)
            Accuracy of the model at that point, NaN where it is not known.

        Raises
        ------
        ValueError
            If there is no accuracy of that name.
        """
        check_is_fitted(self)
        entries = [self.initial_, *self.history_]
        if accuracy not in self.initial_["accuracy"]:
            raise ValueError(f"accuracy must be one of {list(self.initial_['accuracy'])}, got {accuracy!r}.")
        values = [entry["accuracy"][accuracy] for entry in entries]
        return np.array([entry["n_queries"] for entry in entries]), np.array(values, dtype=np.float64)
