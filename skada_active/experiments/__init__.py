"""Experiments: methods compared over tasks and seeds, in one grid of runs that loses none."""

from skada_active.experiments.compare import compare
from skada_active.experiments.paired_tests import Comparison
from skada_active.experiments.results import Results

__all__ = ["Comparison", "Results", "compare"]
