"""Command line: a labelling campaign from a file of data to a report, and comparisons of methods."""

from skada_active.cli.program import main

__all__ = ["main"]
