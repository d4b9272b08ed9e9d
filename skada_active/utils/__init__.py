"""Helpers that know no part of the package: rows of any container, arrays of numpy and torch, fitting, seeds."""
