"""Tasks of `robust_default.py`: one half chooses the default query, the other half reports what it does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

__all__ = ["HALVES", "Task", "load_task"]

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
#: Rows of a domain, at most: a class-blind choice with a fixed seed, so that a run takes seconds.
SOURCE_ROWS = TARGET_ROWS = 1500
DIGIT_COMPONENTS = 50
LIGHT = 2  # column of the light sensor, which tells nearly everything of a room


class Task(NamedTuple):
    """Two domains of an archive (sources joined by "+"), and what is done to their columns."""

    archive: str
    source: str
    target: str
    columns: str = ""

    def __str__(self) -> str:
        return f"{self.archive}: {self.source} -> {self.target}{f', {self.columns}' if self.columns else ''}"


#: Named before the first run. Each half has every kind of data, small targets and large ones, few classes and many.
HALVES = {
    "choose": [
        Task("gas_drift", "batch1", "batch9"),
        Task("gas_drift", "batch1", "batch2"),
        Task("gas_drift", "batch3", "batch6"),
        Task("gas_drift", "batch1+batch2", "batch8"),
        Task("heart_disease", "va", "cleveland"),
        Task("heart_disease", "cleveland", "switzerland"),
        Task("wine_quality", "red", "white"),
        Task("digits", "mnist", "usps"),
        Task("digits", "mnistm", "mnist"),
        Task("occupancy", "closed", "open", "without light"),
        Task("occupancy", "closed", "closed_later"),
        Task("sentences_minilm", "amazon", "imdb"),
        Task("sentences_minilm", "yelp", "amazon"),
        Task("beijing_air", "aotizhongxin", "huairou"),
        Task("office10_googlenet1024", "amazon", "webcam"),
        Task("office_caltech10_surf", "caltech", "amazon"),
        Task("office31_efficientnet_lite0", "amazon", "dslr"),
    ],
    "report": [
        Task("gas_drift", "batch1", "batch4"),
        Task("gas_drift", "batch2", "batch6"),
        Task("gas_drift", "batch2", "batch9"),
        Task("gas_drift", "batch6", "batch8"),
        Task("heart_disease", "cleveland", "hungarian"),
        Task("heart_disease", "hungarian", "va"),
        Task("wine_quality", "white", "red"),
        Task("digits", "usps", "mnist"),
        Task("digits", "mnist", "optdigits"),
        Task("occupancy", "closed", "open"),
        Task("occupancy", "closed", "closed_later", "without light"),
        Task("sentences_minilm", "imdb", "yelp"),
        Task("beijing_air", "dongsi", "dingling"),
        Task("beijing_air", "huairou", "aotizhongxin"),
        Task("office10_googlenet1024", "dslr", "amazon"),
        Task("office_caltech10_surf", "amazon", "caltech"),
        Task("office31_efficientnet_lite0", "webcam", "amazon"),
    ],
}


@cache
def load_task(folder: Path, task: Task) -> Arrays:
    """Return ``X, y, sample_domain`` of a task from the archives in a folder; nobody may write to them."""
    rng = np.random.default_rng(0)
    names = [*task.source.split("+"), task.target]
    X, y = [], []
    with np.load(folder / f"{task.archive}.npz", allow_pickle=False) as archive:
        for name in names:
            limit = TARGET_ROWS if name == task.target else SOURCE_ROWS
            rows = rng.permutation(len(archive[f"y_{name}"]))[:limit]
            X.append(_as_columns(task.archive, archive[f"X_{name}"][rows].astype(np.float32)))
            y.append(archive[f"y_{name}"][rows].astype(np.int64))
    sizes = [len(labels) for labels in y]
    domains = [*range(1, len(names)), -len(names)]
    return _prepared(task, np.concatenate(X), sum(sizes[:-1])), np.concatenate(y), np.repeat(domains, sizes)


def _as_columns(archive: str, rows: np.ndarray) -> np.ndarray:
    """Return the rows of one domain as the archive's usual preprocessing has them."""
    if archive == "digits":
        grey = rows.mean(axis=-1) if rows.ndim == 4 else rows
        return grey.reshape(len(grey), -1) / 255
    if archive == "office_caltech10_surf":  # z per domain
        return StandardScaler().fit_transform(normalize(rows, norm="l1")).astype(np.float32)
    return 10 * normalize(rows) if archive.startswith("office") else rows


def _prepared(task: Task, X: np.ndarray, n_source: int) -> np.ndarray:
    if task.archive == "digits":
        return PCA(DIGIT_COMPONENTS, random_state=0).fit(X[:n_source]).transform(X).astype(np.float32)
    return np.delete(X, LIGHT, axis=1) if task.columns == "without light" else X
