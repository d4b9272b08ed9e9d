"""Real data sets that come with the package, generators of shifted domains, one's own images, and harder tasks.

Every ``load_`` and ``make_`` function returns ``(X, y, sample_domain)``: all labels, those of the target rows too, and
per row one integer, positive for a source domain and negative for a target domain. So does `image_folders`, but for
labels that are missing on disk. The other functions take these: ``subsample_`` returns row numbers, ``displace_`` rows.
"""

from __future__ import annotations

from skada_active.datasets._blobs import make_multi_source_blobs, make_shifted_blobs
from skada_active.datasets._digits import load_digits_pair
from skada_active.datasets._image_files import ImageFiles, UnreadableFile
from skada_active.datasets._image_folders import image_folders
from skada_active.datasets._label_shift import make_label_shift
from skada_active.datasets._moons import make_shifted_moons
from skada_active.datasets._sensors import load_beijing_air, load_gas_drift, load_occupancy
from skada_active.datasets._sentences import load_sentences
from skada_active.datasets._subsets import displace_source, subsample_label_shift, subsample_partial_target
from skada_active.datasets._tabular import load_heart_disease, load_wine_quality

__all__ = [
    "ImageFiles",
    "UnreadableFile",
    "displace_source",
    "image_folders",
    "load_beijing_air",
    "load_digits_pair",
    "load_gas_drift",
    "load_heart_disease",
    "load_occupancy",
    "load_sentences",
    "load_wine_quality",
    "make_label_shift",
    "make_multi_source_blobs",
    "make_shifted_blobs",
    "make_shifted_moons",
    "subsample_label_shift",
    "subsample_partial_target",
]
