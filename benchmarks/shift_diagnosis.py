"""Count how often `diagnose_shift` names the cause of generated shifts that have one, and print the table.

``python benchmarks/shift_diagnosis.py`` makes 20 tasks of each cause, and 20 without a shift, from synthetic and real
rows (`_shift_tasks.py`), of 400 to 1500 rows a domain, with the labels of 200 random target rows or of none. The
thresholds of the package were chosen on other generators, data and seeds, which ``--tasks development`` runs.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter

import numpy as np
from _shift_tasks import CAUSES, DEVELOPMENT, REPORTED, make_task
from joblib import Parallel, delayed

from skada_active.domains import mask_target
from skada_active.inspection import diagnose_shift

VERDICTS = ("covariate", "label", "concept", "several", "none", "cannot tell")
SIZES, STRENGTHS = (600, 1000, 1500), (0.4, 0.7, 1.0)


def run(pools: str, cause: str, setting: int, n_labels: int) -> tuple[str, float, float, float]:
    """Return the verdict, the accuracies on source and target, and the share of rows like no source row."""
    warnings.simplefilter("ignore")
    all_pools = {"reported": REPORTED, "development": DEVELOPMENT}[pools]
    name = list(all_pools)[setting % len(all_pools)]
    strength = STRENGTHS[setting // len(all_pools) % 3]
    seed = {"reported": 0, "development": 1000}[pools] + setting
    X, y, sample_domain = make_task(cause, all_pools[name], SIZES[setting % 3], strength, seed)
    known = mask_target(y, sample_domain)
    labeled = np.random.default_rng(seed).permutation(np.flatnonzero(sample_domain < 0))[:n_labels]
    known[labeled] = y[labeled]
    report = diagnose_shift(X, sample_domain, known, random_state=seed)
    target = report.accuracies.target
    flagged = report.strangers.share.value
    return report.cause, report.accuracies.source.value, target.value if target else np.nan, flagged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", choices=["reported", "development"], default="reported")
    parser.add_argument("--settings", type=int, default=20, help="tasks of each cause")
    parser.add_argument("--labels", type=int, nargs="*", default=[200, 50, 0], help="labelled target rows")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    for n_labels in arguments.labels:
        tasks = [(cause, setting) for cause in CAUSES for setting in range(arguments.settings)]
        found = Parallel(arguments.jobs)(delayed(run)(arguments.tasks, *task, n_labels) for task in tasks)
        print(f"\n{n_labels} labelled target rows; tasks by cause (rows) and verdict (columns)")
        print(f"{'':<10} | " + " | ".join(f"{verdict:<11}" for verdict in VERDICTS) + " | accuracy, strangers")
        for cause in CAUSES:
            of_cause = [values for task, values in zip(tasks, found, strict=True) if task[0] == cause]
            counts = Counter(verdict for verdict, *_ in of_cause)
            source, target, flagged = np.mean([values[1:] for values in of_cause], axis=0)
            line = " | ".join(f"{counts[verdict]:<11}" for verdict in VERDICTS)
            print(f"{cause:<10} | {line} | {source:.2f} -> {target:.2f}, {100 * flagged:.1f} %", flush=True)
        right = sum(task[0] == values[0] for task, values in zip(tasks, found, strict=True) if task[0] != "none")
        print(f"{right} of {len(CAUSES[:3]) * arguments.settings} shifts are named right")


if __name__ == "__main__":
    main()
