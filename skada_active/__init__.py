"""Active domain adaptation with the scikit-learn API.

A model was trained on labelled *source* domains, it must work on a *target* domain, and somebody can label a small
budget of target samples: which ones, and how is the model retrained with them?
"""

from __future__ import annotations

__version__ = "0.1.0"
