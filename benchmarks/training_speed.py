"""Time training: epochs against a bare torch loop, class-wise discriminators against a loop over the classes.

Run ``python benchmarks/training_speed.py``. One thread; contenders take turns. The first table has an epoch of
AdaptationClassifier and of a bare loop that makes the same steps on the same network (a linear bottleneck of width 256
with batch normalisation, 64 rows of each role, fused Adam); that the weights agree after an epoch is checked first. The
second has a forward and backward pass of discriminators with one hidden layer, one for each class: their time together
over that of a loop over plain networks of the same shapes. The third has a step with every objective, those of phases
included, beside one on the labelled rows alone (S+T). Ratios are medians over pairs of neighbouring turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from _report import show
from _training_contenders import METHODS, discriminators, epochs, objective_steps, objectives

ROWS, CLASSES, BATCH_SIZE = 6800, 65, 64
N_FEATURES = (256, 2048)
N_ROWS, N_CLASSES = (32, 64), (4, 12, 31, 65, 345)
WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
#: Most weights of all discriminators; their gradients and those of the other contender take as much memory each.
MOST_WEIGHTS = 200_000_000
#: Steps of an epoch of the table of objectives.
STEPS = 20
#: Seconds that a turn takes at least; what is faster is called several times.
TURN = 0.03


class Turns:
    """Seconds of two contenders that were timed in turns."""

    def __init__(self, contenders: dict[str, Callable[[], Any]], repeats: int) -> None:
        for contender in contenders.values():
            contender()  # allocators and caches
        calls = max(1, int(TURN / min(timed(contender, 1) for contender in contenders.values())))
        turns = [{name: timed(contender, calls) for name, contender in contenders.items()} for _ in range(repeats)]
        self.medians = {name: statistics.median(turn[name] for turn in turns) for name in contenders}
        self.ratios = sorted(turn["ours"] / turn["other"] for turn in turns)
        self.ratio = statistics.median(self.ratios)


def timed(contender: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        contender()
    return (time.perf_counter() - start) / calls


def epoch_rows(repeats: int) -> Iterator[list[str]]:
    """Yield the table of epochs: the ratio with its quartiles."""
    yield ["training", "features", "bare loop, s", "classifier, s", "ratio", "quartiles"]
    for n_features in N_FEATURES:
        for method in METHODS:
            turns = Turns(epochs(method, ROWS, n_features, CLASSES, BATCH_SIZE), repeats)
            low, _, high = statistics.quantiles(turns.ratios, n=4)
            seconds = [f"{turns.medians[name]:.4f}" for name in ("other", "ours")]
            yield [method, str(n_features), *seconds, f"{turns.ratio:.3f}", f"{low:.3f}-{high:.3f}"]


def discriminator_rows(repeats: int) -> Iterator[list[str]]:
    """Yield the table of discriminators: a ratio for every width."""
    yield ["features", "rows", "classes", *(f"width {width}" for width in WIDTHS)]
    for n_features in N_FEATURES:
        for n_rows in N_ROWS:
            for n_classes in N_CLASSES:
                ratios = [
                    f"{Turns(discriminators(n_classes, n_rows, n_features, width), repeats).ratio:.2f}"
                    if n_classes * n_features * width <= MOST_WEIGHTS
                    else ""
                    for width in WIDTHS
                ]
                yield [str(n_features), str(n_rows), str(n_classes), *ratios]


def objective_rows(repeats: int) -> Iterator[list[str]]:
    """Yield the table of objectives: milliseconds a step, and how many times those of S+T."""
    yield ["objective", *(f"{width} features{unit}" for width in N_FEATURES for unit in (", ms", ", ratio"))]
    for name, objective in objectives().items():
        cells = []
        for n_features in N_FEATURES:
            turns = Turns(objective_steps(objective, STEPS * BATCH_SIZE, n_features, CLASSES, BATCH_SIZE), repeats)
            cells += [f"{1e3 * turns.medians['ours'] / STEPS:.2f}", f"{turns.ratio:.2f}"]
        yield [name, *cells]


TABLES = {"epochs": epoch_rows, "discriminators": discriminator_rows, "objectives": objective_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contender")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.tables:
        show(list(TABLES[name](arguments.repeats)))


if __name__ == "__main__":
    main()
