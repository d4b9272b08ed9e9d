"""Versions of the packages that a result was made with."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from skada_active._version import __version__

__all__ = ["package_versions"]

_PACKAGES = ("skada-active", "numpy", "scipy", "scikit-learn", "skorch", "torch")


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = __version__ if package == "skada-active" else "none"
    return versions
