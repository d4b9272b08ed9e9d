"""Simulate audits on real shifts: how often the interval of `audit_estimate` covers the accuracy, and how wide it is.

``python benchmarks/audit_coverage.py --data FOLDER`` runs a campaign of 50 labels in 5 rounds on each task of
`_robust_tasks.py`, with a pipeline of logistic regression and the loop's default strategy. Audited rows are then drawn
many times, in every round by the confidence of that round's model, 20, 50 or 100 in all, and the accuracy of the last
model on the rows that it was not trained on is estimated. The constants of `audit_estimate` were chosen on the half
``choose`` (with another strategy and boosted trees besides); the half ``report`` measures it.

Printed per task: share of covered accuracies, width over that of Wilson's interval for as many rows drawn at random,
bias in points, and the AUROC with which the confidence tells right answers from wrong ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _one_thread  # noqa: F401
import numpy as np
from _report import show
from _robust_candidates import MODELS
from _robust_tasks import HALVES, Task, load_task
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from skada_active import ActiveAdaptationLoop
from skada_active.domains import mask_target
from skada_active.metrics import audit_estimate, systematic_sample

SIZES, N_ROUNDS, Z = (20, 50, 100), 5, 1.959964


def campaign(data: Path, task: Task) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the confidence of every round's model, the round that asked for a row, where the last model is right."""
    X, y, sample_domain = load_task(data, task)
    loop = ActiveAdaptationLoop(MODELS["logistic"](task), budget=50, n_rounds=N_ROUNDS, random_state=0)
    session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    target, confidence = np.flatnonzero(sample_domain < 0), []
    while len(ids := session.ask()):
        confidence.append(session.estimator_.predict_proba(X[target]).max(axis=1))
        session.tell(ids, y[ids])
    confidence.append(session.estimator_.predict_proba(X[target]).max(axis=1))
    return np.array(confidence), session.query_round_[target], session.estimator_.predict(X[target]) == y[target]


def audited_rows(confidence: NDArray[np.float64], asked: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Return the rows that are audited at the end, as positions among all target rows."""
    rng, audited = np.random.RandomState(seed), np.zeros(len(asked), dtype=bool)
    for number in range(1, N_ROUNDS + 1):
        eligible = np.flatnonzero(((asked < 0) | (asked > number)) & ~audited)
        audited[eligible[systematic_sample(confidence[number - 1][eligible], size // N_ROUNDS, rng)]] = True
    return np.flatnonzero(audited & (asked < 0))


def wilson_width(correct: NDArray[np.bool_], n: int) -> float:
    share = correct.mean()
    root = np.sqrt(share * (1 - share) / n + Z**2 / (4 * n * n))
    center, half = (share + Z**2 / (2 * n)) / (1 + Z**2 / n), Z * root / (1 + Z**2 / n)
    return float(min(1.0, center + half) - max(0.0, center - half))


def measure(data: Path, task: Task, n_draws: int) -> list[list[str]]:
    confidence, asked, is_correct = campaign(data, task)
    pool = np.flatnonzero(asked < 0)
    correct, rows = is_correct[pool], []
    ranks = f"{roc_auc_score(correct, confidence[-1][pool]):.3f}" if 0 < correct.mean() < 1 else ""
    for size in SIZES:
        if size > len(pool) - 10:
            continue
        estimates, widths = [], []
        for seed in range(n_draws):
            drawn = audited_rows(confidence, asked, size, seed)
            positions = np.searchsorted(pool, drawn)
            estimates.append(audit_estimate(correct[positions], len(pool), confidence[-1][pool], positions))
            plain = np.random.RandomState(seed).choice(len(pool), len(drawn), replace=False)
            widths.append(wilson_width(correct[plain], len(drawn)))
        covered = np.mean([e.low - 1e-12 <= correct.mean() <= e.high + 1e-12 for e in estimates])
        width = np.mean([e.high - e.low for e in estimates]) / np.mean(widths)
        bias = 100 * (np.mean([e.value for e in estimates]) - correct.mean())
        rows.append([str(task), str(size), f"{covered:.3f}", f"{width:.3f}", f"{bias:+.2f}", ranks])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=[*HALVES], default="report")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    runs = (delayed(measure)(arguments.data, task, arguments.draws) for task in HALVES[arguments.half])
    rows = [row for of_task in Parallel(arguments.jobs)(runs) for row in of_task]
    show([["task", "audited", "covered", "width / Wilson", "bias", "AUROC"], *rows])
    covered, width, bias = (np.array([float(row[column]) for row in rows]) for column in (2, 3, 4))
    sharp = np.array([bool(row[5]) and float(row[5]) >= 0.8 for row in rows])
    print(
        f"covered: {covered.mean():.3f} on average, {covered.min():.3f} at least; width {width.mean():.3f}, "
        f"{width[sharp].mean():.3f} where AUROC >= 0.8, {width.max():.3f} at most; bias {abs(bias).max():.2f} at most"
    )


if __name__ == "__main__":
    main()
