"""Active domain adaptation as one estimator: ask, answer, retrain, until the budget is spent."""

from __future__ import annotations

from contextlib import nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MetaEstimatorMixin, clone, is_regressor
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles, check_domain_coding, check_inputs, hide_target
from skada_active.labels import is_missing
from skada_active.loop._validation import (
    check_audit,
    check_eval_set,
    check_oracle,
    check_reply,
    require_target,
    warn_of_frozen,
    warn_of_no_question,
)
from skada_active.loop.oracle import Oracle
from skada_active.loop.prediction import DelegatedPrediction
from skada_active.loop.saving import load_loop, save_loop
from skada_active.loop.stopping import AnyOf, StoppingRule
from skada_active.metrics.estimate import AccuracyEstimate
from skada_active.metrics.scoring import BUILT_IN
from skada_active.query import QueryStrategy, default_strategy
from skada_active.session import AdaptationSession
from skada_active.session._validation import check_annotators, check_costs
from skada_active.session.progress import Progress
from skada_active.session.settings import SessionSettings
from skada_active.session.spending import BudgetSchedule, Spending
from skada_active.session.store import JournalStore, MemoryStore
from skada_active.utils._sklearn import HasMethods, Interval, StrOptions
from skada_active.utils.fitting import is_frozen, keeps_grad_mode, remember_columns
from skada_active.utils.rows import take_rows
from skada_active.utils.warn import warn_user

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ActiveAdaptationLoop"]


class ActiveAdaptationLoop(MetaEstimatorMixin, DelegatedPrediction):
    """Classifier that is adapted to a target domain by buying the labels that help most.

    The estimator is trained on the labelled rows; then, round by round, the query strategy chooses target rows, the
    oracle labels them, and the estimator is trained on. The fitted loop is a classifier.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier: `AdaptationClassifier` (the default), any scikit-learn classifier, or a `Pipeline` that ends in one
        of them. One whose ``fit`` takes ``sample_domain`` sees all rows, any other one the labelled rows.
    strategy : QueryStrategy, default=None
        Query strategy; ``None``: one that is robust for the estimator, see `default_strategy`; `strategy_` says which.
        It reads the loop's estimator, unless it brings its own.
    budget : int, float, sequence or BudgetSchedule, default=0.05
        Labels to buy: a count, a fraction of the initial pool, one of them per round, or a schedule.
    n_rounds : int, default=5
        Number of rounds, where `budget` does not say it.
    target_weight : "balanced", float or None, default="balanced"
        How the labelled target rows, bought or known from the start, count against the source rows in an estimator that
        is not domain-aware. A float is the weight of one such row where a source row has 1; ``"balanced"``: so much
        that both have the same sum, ``n_source / n_labeled_target``; ``None``: every row counts the same. A network
        weighs them by its `labeled_loss` and `source_weight` instead. See Notes.
    audit : int or float, default=0.0
        Labels of each round that measure the model and never train it: a count, or a share of all labels, below 1. They
        are drawn at random over the model's confidence and mixed into the questions. `accuracy_` and each entry of the
        history have an honest estimate then. It costs what the model would have learned from them.
    stopping : StoppingRule, default=None
        When more labels are not worth it, such as ``TargetAccuracy(0.9) | StablePredictions()`` of `skada_active.loop`;
        asked after every round. A budget that is raised later buys one more round at least.
    scoring : str, callable, list, tuple, set or dict, default=None
        Metrics of each round beside accuracy and balanced accuracy, as in `sklearn.model_selection.cross_validate`:
        names, scorers, or a dict of them. They change neither the model nor what is asked.
    round_epochs : int or sequence of int, default=5
        Epochs of training after each round, for estimators that go on training; a sequence gives the rounds one by one,
        its last entry standing for all later ones.
    warm_start : bool, default=True
        Whether to go on training after a round, where the estimator can (`AdaptationClassifier`); otherwise it is
        trained from scratch on everything known.
    new_classes : {"refuse", "learn"}, default="refuse"
        What an answer of a class that the model does not know means: a slip of the pen, which is refused, or a new
        class, for which the estimator is trained from scratch. Without an oracle, `fit` always learns: the answers are
        in `y`.
    verbose : int, default=0
        1: a progress bar over the labels bought, with the epoch while a network is trained and the accuracies that are
        known; in a session, one for every training. The logger ``"skada_active"`` says the same at the level INFO.
    random_state : int, RandomState instance or None, default=None
        Seed of the loop, of the estimator (where its own ``random_state`` is None) and of the strategy (likewise).

    Attributes
    ----------
    estimator_
        The fitted model.
    strategy_ : QueryStrategy
        The strategy that was asked; it reads the model in each round, so it is not fitted itself.
    classes_ : ndarray
        Labels that the model knows.
    queried_ids_ : ndarray of int64
        Row numbers of the labels bought, in order of purchase.
    query_round_ : ndarray of shape (n,), int64
        Round in which a row's label was bought; 0 known from the start (source rows too), -1 never.
    n_queries_ : int
        Number of labels bought.
    termination_condition_ : str
        ``"budget"``, ``"pool"`` (no row is left to ask about, whether or not budget is left), ``"no_target"`` or
        ``"stopped"`` (by the stopping rule).
    stopping_reason_ : str or None
        What the stopping rule says, in words.
    accuracy_ : AccuracyEstimate
        Accuracy on the target rows that the model is not trained on, by the audited ones, with its interval; only with
        `audit`.
    history_ : list of dict
        One entry per round: ``round``, ``ids`` bought and their ``utilities``, ``abstained_ids``, ``n_queries`` so far,
        ``class_counts`` of the revealed target labels, ``seconds`` (query, oracle, train), ``loss`` of the last epoch
        by term, and ``accuracy``, ``balanced_accuracy`` (the mean over the classes, which a majority cannot hide
        behind) and what `scoring` names (a single callable: ``score``), each a dict: *transductive* (all target rows),
        *unqueried* (target rows never bought), *holdout* (`eval_set`), from the rows whose labels are known, None
        without any. With `audit` there is an `AccuracyEstimate` beside them, *audit*, and ``audit_ids``, which of the
        ids it rests on; with `stopping` ``stability``: how far the predictions differ from those of the round before.
        `skada_active.metrics.history_records` makes plain values of it, for JSON or a table.
    initial_ : dict
        The same entry for the model before any purchase (round 0), its *audit* by all rows audited since.
    session_ : AdaptationSession
        The session that was run; it holds the data, so that `resume` can go on.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`.

    Notes
    -----
    `target_weight` is ``sample_weight`` wherever the estimator's ``fit`` takes it: in a Pipeline by the name of its
    last step, in a meta-estimator (`CalibratedClassifierCV`, `VotingClassifier`, a search) if all that it fits take it,
    too. The other steps of a Pipeline, such as scalers, selectors and encoders of the target, see every row once. It
    multiplies ``class_weight``, and has nothing to do with what labels cost.

    Estimators without ``sample_weight`` (`KNeighborsClassifier`, `GaussianProcessClassifier`,
    `LinearDiscriminantAnalysis`, `OneVsRestClassifier`, a vote with one of them) are fitted on repeated rows: those of
    the half that weighs more per row stand as often as the ratio of the weights says, rounded to the nearest integer
    (halves up), so that 1.4 repeats nothing. ``"balanced"`` makes less than twice the rows, in time and memory; a float
    at most ten times, with a warning where more were asked for. Copies stand next to each other, so that unshuffled
    folds inside of the estimator (the default of a search and of `CalibratedClassifierCV`) keep nearly all copies of a
    row together; shuffled ones test on copies of what they train on.

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
        "estimator": [HasMethods(["fit"]), None],
        "strategy": [QueryStrategy, None],
        "target_weight": [StrOptions({"balanced"}), Interval(Real, 0, None, closed="neither"), None],
        "stopping": [StoppingRule, AnyOf, None],
        "scoring": [str, callable, list, tuple, set, dict, None],
        "warm_start": ["boolean"],
        "new_classes": [StrOptions({"refuse", "learn"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True, "labeled_target": True}

    def __init__(
        self,
        estimator: Any = None,
        strategy: QueryStrategy | None = None,
        *,
        budget: Any = 0.05,
        n_rounds: int = 5,
        target_weight: str | float | None = "balanced",
        audit: int | float = 0.0,
        stopping: Any = None,
        scoring: Any = None,
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
        self.target_weight = target_weight
        self.audit = audit
        self.stopping = stopping
        self.scoring = scoring
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
    ) -> Self:
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
            Held-out rows for the holdout accuracy of each round; those without a label are left out.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        ValueError
            If the data do not fit together, the target was surely meant but named by no number below 0 (an `oracle` or
            a `labeled_target`, or domains numbered 0 and 1), or the estimator lacks what the strategy reads. All before
            any training.

        Warns
        -----
        UserWarning
            If there is a budget and nothing to ask about; if the estimator cannot learn a class that it met, from so
            few labels (it then goes without that class, and each later round tries again).

        Notes
        -----
        In cross-validation `sample_domain` goes along (``params={"sample_domain": sample_domain}``), and the splitter
        is `TargetShuffleSplit`: test folds of a plain `KFold` hold source rows too, whose labels were trained for, and
        their scores say little about the target.
        """
        X, y, roles = self._check_data(X, y, sample_domain)
        y_true = None
        if oracle is not None or labeled_target is not None:
            require_target(roles, "labeled_target" if oracle is None else "oracle")
        if oracle is None:
            roles, y_true = hide_target(y, roles, labeled_target), y.copy()
        elif labeled_target is not None:
            raise ValueError(
                "labeled_target goes without an oracle; with one, a label present in y is known. Leave one out."
            )
        else:
            check_oracle(oracle)
        progress = Progress() if self.verbose else None
        with progress or nullcontext():
            session = self._start_session(X, y, roles, y_true=y_true, eval_set=eval_set, progress=progress)
            return self._run(session, oracle)

    @keeps_grad_mode
    def _run(self, session: AdaptationSession, oracle: Oracle | None, annotator: str | None = None) -> Self:
        known: Any = session.y_true  # what answers where there is no oracle
        session.trainer.progress = (session.trainer.progress or Progress()) if self.verbose else None
        try:
            with session.trainer.progress or nullcontext():
                while len(ids := session.ask(annotator=annotator)):
                    # A copy: what an oracle does to its rows must not change what is told about.
                    labels = (
                        known[ids] if oracle is None else check_reply(oracle(ids.copy(), take_rows(session.X, ids)))
                    )
                    session.tell(ids, labels, annotator=annotator)
        finally:
            self._adopt(session)
        return self

    def session(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        eval_set: tuple[Any, ArrayLike] | None = None,
        journal: Any = None,
        costs: ArrayLike | None = None,
        n_annotators: int = 1,
    ) -> AdaptationSession:
        """Start a session in which somebody else asks and answers, or go on with one.

        Parameters
        ----------
        X, sample_domain, eval_set
            As in `fit`.
        y : array-like of shape (n,)
            Labels; every label that is present is known, target rows without one (-1, NaN or None) are the pool.
        journal : str or path, default=None
            File, such as ``"labels.db"``, in which every question and answer is on the disk before the call returns. A
            file that has a session goes on with it: same data and settings, all its answers, same model. ``None``: in
            memory only.
        costs : array-like of shape (n,), default=None
            What the label of each row costs, above 0; the loop's budget is then an amount in whole units of cost (a
            fraction: of what the whole pool costs). A round asks for as many of the chosen rows as it can pay for.
            ``None``: 1 each, so that a budget counts labels.
        n_annotators : int, default=1
            How many annotators answer for a row. Its label is that of the majority, and costs once what `costs` says.

        Returns
        -------
        AdaptationSession
            A session whose model is trained on all answers so far.

        Raises
        ------
        BlockingIOError
            If another process, or another session of this one, has the journal open.
        JournalError
            If the file is damaged or no journal; it is left as it is.
        ValueError
            If data or settings are not valid, there is no target row, or they are not those of the journal.
        """
        X, y, roles = self._check_data(X, y, sample_domain)
        require_target(roles, "A session")
        return self._start_session(
            X,
            y,
            roles,
            eval_set=eval_set,
            journal=journal,
            costs=None if costs is None else check_costs(costs, len(y)),
            n_annotators=check_annotators(n_annotators),
        )

    def resume(
        self,
        oracle: Oracle | None = None,
        *,
        budget: Any = None,
        n_rounds: int | None = None,
        annotator: str | None = None,
    ) -> Self:
        """Continue where the loop stopped: with what is left of the budget, or with more.

        Parameters
        ----------
        oracle : callable, default=None
            Who answers; ``None``: the labels that `fit` was given without an oracle.
        budget : int, float or sequence, default=None
            Labels to buy on top of what is left of the budget, as in the constructor (a fraction is one of the initial
            pool); ``None``: what is left, for example after an oracle raised.
        n_rounds : int, default=None
            Number of rounds of the new budget; ``None``: the loop's.
        annotator : str, default=None
            Who the oracle is, in a session of several annotators: it is asked until the others have to answer.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        ValueError
            If there is no `oracle` and `fit` had none of the target labels, or `n_rounds` comes without a `budget`.

        Warns
        -----
        UserWarning
            If there is a new budget and no row is left to ask about.
        """
        check_is_fitted(self)
        session = self.session_
        if oracle is None:
            if session.y_true is None:
                raise ValueError("oracle=None, but fit was given an oracle of its own; pass who answers from now on.")
        else:
            check_oracle(oracle)
        if budget is None and n_rounds is not None:
            raise ValueError(f"n_rounds={n_rounds} says how a new budget is spent; give the budget too.")
        if budget is not None:
            if not isinstance(budget, BudgetSchedule):
                budget = BudgetSchedule(budget, self.n_rounds if n_rounds is None else n_rounds)
            session.extend(budget.rounds(session.state.pool_cost))
            if np.any(np.greater(budget.budget, 0)) and session.termination_condition_ in ("pool", "no_target"):
                warn_user(
                    f"resume has a budget of {budget.budget}, but no label is bought: no row is left to ask "
                    "about. Abstentions may be readmitted by loop.session_.readmit(ids); more rows need another fit."
                )
        return self._run(session, oracle, annotator)

    @classmethod
    def from_session(cls, session: AdaptationSession) -> Self:
        """Return a fitted loop that goes on with a session, configured by the session's settings.

        Parameters
        ----------
        session : AdaptationSession
            The session; the loop holds it, not a copy.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop. Its budget is the list of the session's rounds, its `random_state` the session's seed.
        """
        settings = session.settings
        loop = cls(
            clone(settings.estimator),
            clone(settings.strategy),
            budget=list(session.state.rounds),
            round_epochs=settings.round_epochs,
            warm_start=settings.warm_start,
            new_classes=settings.new_classes,
            target_weight=settings.target_weight,
            audit=settings.audit,
            stopping=settings.stopping,
            scoring=None if session.trainer.scoring is None else session.trainer.scoring.given,
            random_state=settings.seed if settings.given_seed is None else settings.given_seed,
        )
        _ = session.estimator_  # trained first where that was interrupted
        return loop._adopt(session)

    def save(self, path: Any) -> None:
        """Write the fitted loop to one file, without pickle.

        Rows of numbers (arrays, CSR, DataFrames) are written too, so that the loaded loop can go on; any others have to
        be given again to `load`. So have modules and callbacks of a network.

        Parameters
        ----------
        path : str or path
            The file, such as ``"loop.skops"``; its folder is made if it is not there. A file that was there before is
            replaced, all at once.

        Raises
        ------
        UnsaveableError
            If the loop holds what cannot be written without pickle; the message says what.
        """
        check_is_fitted(self)
        save_loop(self, Path(path))

    @classmethod
    def load(
        cls,
        path: Any,
        *,
        X: Any = None,
        eval_set: tuple[Any, ArrayLike] | None = None,
        scoring: Any = None,
        estimator: Any = None,
        strategy: QueryStrategy | None = None,
        trusted: Any = (),
    ) -> Self:
        """Return a fitted loop that `save` wrote; it predicts, and goes on by `resume`.

        Parameters
        ----------
        path : str or path
            The file.
        X : array-like of shape (n, ...) or dataset, default=None
            The rows that the loop was fitted on, for one that was saved without them; needed to go on, not to predict.
        eval_set : tuple (X, y), default=None
            Likewise.
        scoring : callable or dict, default=None
            Likewise, for one that holds functions, which a file cannot hold.
        estimator, strategy : default=None
            The unfitted estimator or strategy of the loop, for one that holds code of yours (a module, callbacks, a
            class), which a file cannot hold.
        trusted : sequence of str or type, default=()
            Types of yours that may be made from the file, by their full names, as in `skops.io.load`.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        UntrustedFileError
            If the file names other types than those of scikit-learn and this package; nothing of it was made.
        ValueError
            If the file is damaged, or what was given is not what the loop was saved with.
        """
        return load_loop(
            cls,
            Path(path),
            X=X,
            eval_set=eval_set,
            scoring=scoring,
            given={"estimator": estimator, "strategy": strategy},
            trusted=trusted,
        )

    @property
    def accuracy_(self) -> AccuracyEstimate:
        """Accuracy on the target rows that the model is not trained on, by the audited ones, with its interval."""
        check_is_fitted(self)
        return self.session_.accuracy_

    def learning_curve(
        self, accuracy: str = "unqueried", *, metric: str = "accuracy"
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return how an accuracy grew with the labels bought.

        Parameters
        ----------
        accuracy : {"unqueried", "transductive", "holdout"}, default="unqueried"
            On which rows.
        metric : str, default="accuracy"
            Which metric: ``"accuracy"``, ``"balanced_accuracy"``, or a name in `scoring`.

        Returns
        -------
        n_queries : ndarray of shape (n_rounds + 1,), int64
            Labels bought, starting with 0.
        accuracy : ndarray of shape (n_rounds + 1,)
            Accuracy of the model at that point, NaN where it is not known.

        Raises
        ------
        ValueError
            If there is no accuracy, or no metric, of that name.
        """
        check_is_fitted(self)
        entries = [self.initial_, *self.history_]
        scoring = self.session_.trainer.scoring
        metrics = [*BUILT_IN, *(scoring.names if scoring else ())]
        if metric not in metrics:
            raise ValueError(f"metric must be one of {metrics}, got {metric!r}.")
        if accuracy not in self.initial_["accuracy"]:
            raise ValueError(f"accuracy must be one of {list(self.initial_['accuracy'])}, got {accuracy!r}.")
        values = [entry.get(metric, {}).get(accuracy) for entry in entries]
        return np.array([entry["n_queries"] for entry in entries]), np.array(values, dtype=np.float64)

    def _check_data(self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None) -> tuple[Any, NDArray[Any], Roles]:
        self._validate_params()
        if self.estimator is not None and is_regressor(self.estimator):
            raise ValueError(f"estimator must be a classifier, got the regressor {self.estimator!r}.")
        if isinstance(self.target_weight, bool | np.bool_):
            raise ValueError(
                f'target_weight={self.target_weight} must be "balanced", a number > 0 or None; use "balanced" or None.'
            )
        epochs = np.atleast_1d(self.round_epochs)
        if epochs.ndim > 1 or not len(epochs) or epochs.dtype.kind not in "iu" or epochs.min() < 0:
            raise ValueError(
                f"round_epochs must be an integer >= 0 or a list of them, one per round, got {self.round_epochs!r}."
            )
        X, y, roles = check_inputs(X, y, sample_domain)
        if not len(roles.target):
            check_domain_coding(roles)
        return X, y, roles

    @keeps_grad_mode
    def _start_session(
        self,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        *,
        y_true: NDArray[Any] | None = None,
        eval_set: tuple[Any, ArrayLike] | None = None,
        journal: Any = None,
        costs: NDArray[np.float64] | None = None,
        n_annotators: int = 1,
        progress: Progress | None = None,
    ) -> AdaptationSession:
        held_out = None if eval_set is None else check_eval_set(eval_set, y[roles.is_labeled])
        settings = self._settings(X, roles, costs, n_annotators)
        answers = y[roles.candidates] if y_true is None else y_true[roles.candidates]
        has_answers = len(answers) and (y_true is None or not is_missing(answers).all())
        if np.any(np.greater(getattr(self.budget, "budget", self.budget), 0)):
            if not has_answers:
                warn_of_no_question(roles, y_true)
            elif is_frozen(settings.estimator) and not settings.audit:
                warn_of_frozen(settings.estimator)
        store = MemoryStore(settings) if journal is None else JournalStore(journal, settings, X, y, roles)
        try:
            make_loop = clone(self)._fitted_clone
            known = {"y_true": y_true, "eval_set": held_out, "scoring": self.scoring}
            progress = Progress() if self.verbose and progress is None else progress
            return AdaptationSession(store, X, y, roles, **known, progress=progress, make_loop=make_loop)
        except BaseException:
            store.close()
            raise

    def _settings(self, X: Any, roles: Roles, costs: NDArray[np.float64] | None, n_annotators: int) -> SessionSettings:
        pool_cost = Spending(len(roles.domain), costs).whole_units(roles.candidates)
        schedule = self.budget
        if not isinstance(schedule, BudgetSchedule):
            schedule = BudgetSchedule(self.budget, self.n_rounds)
        rounds = schedule.rounds(pool_cost)
        # Without a seed one is drawn from a generator of its own, never from numpy's global one.
        rng = np.random.RandomState() if self.random_state is None else check_random_state(self.random_state)
        estimator = _default_estimator() if self.estimator is None else clone(self.estimator)
        return SessionSettings(
            estimator=estimator,
            strategy=default_strategy(estimator, X) if self.strategy is None else clone(self.strategy),
            seed=int(rng.randint(np.iinfo(np.int32).max)),
            rounds=rounds,
            costs=costs,
            n_annotators=n_annotators,
            round_epochs=self.round_epochs,
            warm_start=self.warm_start,
            new_classes=self.new_classes,
            target_weight=self.target_weight,
            audit=check_audit(self.audit, rounds),
            stopping=self.stopping,
            given_seed=int(self.random_state) if isinstance(self.random_state, Integral) else None,
        )

    def _adopt(self, session: AdaptationSession) -> Self:
        """Take over what a session has come to; where its training was interrupted, what was trained before."""
        self.session_, self.strategy_ = session, session.strategy_
        self.estimator_, self.initial_, history = session.trainer.model[:3]
        self.history_ = list(history)
        state = session.state
        self.queried_ids_ = np.array(state.bought_ids, dtype=np.int64)
        self.query_round_ = state.query_round.copy()
        self.n_queries_ = len(self.queried_ids_)
        self.termination_condition_, self.stopping_reason_ = session.termination_condition_, session.stopping_reason_
        self.classes_ = self.estimator_.classes_
        if session.X is not None:
            remember_columns(self, session.X)
        return self

    def _fitted_clone(self, session: AdaptationSession) -> Self:
        _ = session.estimator_  # trained first where that was interrupted
        return clone(self)._adopt(session)


def _default_estimator() -> Any:
    from skada_active.deep import AdaptationClassifier  # here, for the package imports without torch

    return AdaptationClassifier()
