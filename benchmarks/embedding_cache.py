"""Time the cache of `Embedding`: a first run, a second one, one changed row, and many vectors; and its size on disk.

Run ``python benchmarks/embedding_cache.py``. One thread. The first line is of a ResNet-18 of torchvision with random
weights on `--images` images of 224 x 224 bytes, in memory; the second one of the same as files (PNG), which are read
and hashed in every run. The third is of `--texts` texts and an encoder that costs nothing, whose vectors have 768
numbers: what is left is the cost of the cache itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _one_thread  # noqa: F401
import numpy as np
import torch
from _report import number, show
from PIL import Image
from torch import nn
from torchvision.models import resnet18

from skada_active.embedding import Embedding

WIDTH = 768


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and its seconds."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def run(name: str, encoder: Any, X: Any, changed: Any, folder: str, **params: Any) -> list[str]:
    """Return the line of an encoder: its seconds, and the bytes on disk."""
    first, seconds = timed(lambda: Embedding(encoder, cache=folder, **params).fit_transform(X))
    second, again = timed(lambda: Embedding(encoder, cache=folder, **params).fit_transform(X))
    if not np.array_equal(first, second):
        raise AssertionError("the cache gave other vectors")
    _, one = timed(lambda: Embedding(encoder, cache=folder, **params).fit_transform(changed))
    size = sum(path.stat().st_size for path in Path(folder).glob("*.sqlite*"))
    cells = [seconds, again, seconds / again, one, size / first.size]
    return [name, str(len(X)), *map(number, cells)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--texts", type=int, default=50_000)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    network = resnet18()
    network.fc = nn.Identity()
    images = rng.integers(0, 256, (args.images, 3, 224, 224), dtype=np.uint8)
    changed = images.copy()
    changed[-1] ^= 1
    vectors = rng.standard_normal((args.texts, WIDTH), dtype=np.float32)
    texts = [f"{number} is the beginning of a sentence that is followed by others" for number in range(args.texts)]
    encode = lambda rows: vectors[[int(row.split()[0]) for row in rows]]  # noqa: E731
    head = ["rows", "n", "first run (s)", "second run (s)", "times faster", "one row changed (s)", "bytes a number"]
    lines = [head]
    with tempfile.TemporaryDirectory() as folder:
        lines.append(run("images", network, images, changed, f"{folder}/images"))
        files = [Path(folder, f"{row}.png") for row in range(args.images)]
        for path, image in zip(files, images, strict=True):
            Image.fromarray(np.moveaxis(image, 0, -1)).save(path)
        Image.fromarray(np.moveaxis(changed[-1], 0, -1)).save(Path(folder, "changed.png"))
        other = [*files[:-1], Path(folder, "changed.png")]
        lines.append(run("files of images", network, files, other, f"{folder}/files"))
        del images, changed
        lines.append(
            run("texts", encode, texts, [*texts[:-1], "7 is another text"], f"{folder}/texts", cache_key="benchmark")
        )
    show(lines)


if __name__ == "__main__":
    main()
