"""Time the reading of image files, and the memory of 100,000 of them.

``python benchmarks/image_folders.py --images FOLDER`` reads a folder of one sub-folder per class: by `ImageFiles`
through the batches that a prediction of `AdaptationClassifier` reads, and by a bare `DataLoader` over torchvision's
``ImageFolder`` with the same size, in turn. Printed are images a second, the best of `--repeats`. Then 100,000 links to
images are listed, and the growth of the resident memory is shown, that of ``ImageFolder`` beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import torch
from _report import show
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from skada_active.datasets import ImageFiles, image_folders
from skada_active.deep.batches import RowBatches


def bare(folder: Path, size: int, workers: int) -> int:
    steps = [v2.Resize(size, antialias=True), v2.CenterCrop(size), v2.PILToTensor()]
    loader = DataLoader(ImageFolder(folder, v2.Compose(steps)), batch_size=64, num_workers=workers)
    return sum(len(batch.float()) for batch, _ in loader)


def ours(folder: Path, size: int, workers: int) -> int:
    X = ImageFiles([path for path, _ in ImageFolder(folder).samples], image_size=size)
    return sum(len(rows) for rows, _ in RowBatches(X, 64, {"num_workers": workers}))


def speed(read: Callable[..., int], *arguments: Any) -> float:
    """Return the images a second that a function reads."""
    start = time.perf_counter()
    n = read(*arguments)
    return n / (time.perf_counter() - start)


def grown(make: Callable[[], Any]) -> tuple[float, float]:
    """Return how many MB the process is larger for what `make` returns, and the seconds, in a process of its own."""
    read, write = os.pipe()
    if not os.fork():
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        kept = make()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(write, f"{(after - before) / 1024} {time.perf_counter() - start}".encode())
        os._exit(0 if kept is not None else 1)
    os.wait()
    memory, took = os.read(read, 100).decode().split()
    return float(memory), float(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for size in (64, 112):
        for workers in (0, 2):
            both = [(bare, []), (ours, [])]
            for _ in range(arguments.repeats):
                for read, found in both:
                    found.append(speed(read, arguments.images, size, workers))
            other, own = (max(found) for _, found in both)
            rows.append([str(size), str(workers), f"{other:.0f}", f"{own:.0f}", f"{own / other:.2f}"])
    show([["image_size", "workers", "DataLoader, images/s", "ImageFiles, images/s", "ratio"], *rows])
    files = sorted(path for path in arguments.images.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as root:
        for number, file in enumerate(islice(cycle(files), 100_000)):
            folder = Path(root, "b" if number % 2 else "a", f"class{number % 31:02d}")
            folder.mkdir(parents=True, exist_ok=True)
            os.symlink(file.resolve(), folder / f"image_{number:06d}.jpg")
        folders = {name: Path(root, name) for name in "ab"}
        makers: dict[str, Callable[[], Any]] = {
            "ImageFolder": lambda: [ImageFolder(folder) for folder in folders.values()],
            "image_folders": lambda: image_folders(folders, source="a", target="b"),
        }
        table = [[name, *(f"{value:.1f}" for value in grown(make))] for name, make in makers.items()]
        show([["100,000 files", "MB", "seconds"], *table])


if __name__ == "__main__":
    main()
