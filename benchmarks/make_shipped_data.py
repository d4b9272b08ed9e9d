"""Make the data files that the package ships from the full research archives.

Usage: ``python benchmarks/make_shipped_data.py ARCHIVES OUTPUT``. ``ARCHIVES`` holds ``gas_drift.npz``,
``heart_disease.npz``, ``wine_quality.npz``, ``digits.npz``, ``occupancy.npz``, ``beijing_air.npz`` and
``sentences_minilm.npz`` with arrays ``X_<domain>`` and ``y_<domain>`` (y: codes 0, 1, ...), the last one with
``text_<domain>``; ``OUTPUT`` is ``skada_active/datasets/data``. ``--only`` makes some of the files. Rows are chosen,
never changed, and stay in order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

# Largest shares that keep the file below 1.5 MB with batches 1, 2 and 8 whole; 7 and 10 are not in the archive.
GAS_ROWS = {1: None, 2: None, 3: 200, 4: 80, 5: 100, 6: 600, 8: None, 9: 160}
GAS_FEATURES = ("DR", "|DR|", "EMAi0.001", "EMAi0.01", "EMAi0.1", "EMAd0.001", "EMAd0.01", "EMAd0.1")
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
WINES = ("red", "white")
DOORS = ("closed", "open", "closed_later")
STATIONS = ("aotizhongxin", "dingling", "dongsi", "huairou")
SITES = ("amazon", "imdb", "yelp")
MNIST_ROWS = 2000
SEED = 0


def stratified_rows(y: np.ndarray, n_rows: int | None) -> np.ndarray:
    """Draw ``n_rows`` row numbers with the class shares of ``y``, in ascending order (None: all rows)."""
    rows = np.arange(len(y))
    if n_rows is None:
        return rows
    return np.sort(train_test_split(rows, train_size=n_rows, stratify=y, random_state=SEED)[0])


def domain_arrays(archive, stored: str, name: str, n_rows: int | None = None) -> dict[str, np.ndarray]:
    """Take the chosen rows of one domain; tables deflate better by column, images by row, and labels fit int8."""
    X, y = archive[f"X_{stored}"], archive[f"y_{stored}"]
    rows = stratified_rows(y, n_rows)
    order = "F" if X.ndim == 2 else "C"
    return {f"X_{name}": np.asarray(X[rows], order=order), f"y_{name}": y[rows].astype(np.int8)}


def gas_drift(archive) -> dict[str, np.ndarray]:
    arrays = {
        "feature_names": np.array([f"{feature}_{sensor}" for sensor in range(1, 17) for feature in GAS_FEATURES]),
        "class_names": archive["class_names"],
    }
    for batch, n_rows in GAS_ROWS.items():
        arrays |= domain_arrays(archive, f"batch{batch}", str(batch), n_rows)
    return arrays


def named_domains(archive, domains: tuple[str, ...]) -> dict[str, np.ndarray]:
    arrays = {"feature_names": archive["feature_names"]}
    for domain in domains:
        arrays |= domain_arrays(archive, domain, domain)
    return arrays


def sentences(archive) -> dict[str, np.ndarray]:
    arrays = {}
    for site in SITES:
        arrays |= domain_arrays(archive, site, site) | {f"text_{site}": archive[f"text_{site}"]}
    return arrays


MAKERS = {
    "gas_drift": ("gas_drift", gas_drift),
    "heart_disease": ("heart_disease", lambda archive: named_domains(archive, HOSPITALS)),
    "wine_quality": ("wine_quality", lambda archive: named_domains(archive, WINES)),
    "mnist": ("digits", lambda archive: domain_arrays(archive, "mnist", "mnist", MNIST_ROWS)),
    "occupancy": ("occupancy", lambda archive: named_domains(archive, DOORS)),
    "beijing_air": ("beijing_air", lambda archive: named_domains(archive, STATIONS)),
    "sentences": ("sentences_minilm", sentences),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", type=Path, help="folder with the research archives")
    parser.add_argument("output", type=Path, help="folder for the shipped files")
    parser.add_argument("--only", nargs="*", default=list(MAKERS), choices=list(MAKERS), help="files to make")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for shipped in arguments.only:
        stored, make = MAKERS[shipped]
        with np.load(arguments.archives / f"{stored}.npz", allow_pickle=False) as archive:
            np.savez_compressed(arguments.output / f"{shipped}.npz", **make(archive))


if __name__ == "__main__":
    main()
