"""Helpers below every part of the package: rows of any container, arrays of numpy and torch, fitting, seeds."""
