"""The section on objectives of the user guide, word for word."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from skada_active.datasets import make_shifted_blobs
from skada_active.deep import DANN, AdaptationClassifier
from skada_active.domains import resolve_roles
from skada_active.pool import snapshot

GUIDE = Path(__file__).parents[3] / "docs" / "user_guide" / "extending.rst"


def blocks(title, end=None):
    text = GUIDE.read_text(encoding="utf-8").split(f"\n{title}\n---", 1)[1]
    text = text if end is None else text.split(f"\n{end}\n---", 1)[0]
    return [textwrap.dedent(block) for block in re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", text)]


@pytest.fixture
def guide(monkeypatch):
    """Return a module in which the code blocks about objectives were run."""
    module = ModuleType("guide_to_objectives")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.X, module.y, module.sample_domain = make_shifted_blobs(random_state=0)
    for block in blocks("An objective", "Checking an objective"):
        exec(block, vars(module))
    return module


def test_the_check_of_the_guide_passes(guide):
    (block,) = blocks("Checking an objective")
    exec(block, vars(guide))


def test_a_logit_of_features_alone_is_read_by_users_and_strategies(guide):
    model = guide.model
    X, y, domain = guide.X, np.where(guide.sample_domain < 0, -1, guide.y), guide.sample_domain
    linear = model.net_.criterion_.objective.linear
    expected = model.transform(X) @ linear.weight.detach().numpy()[0] + linear.bias.item()
    np.testing.assert_allclose(model.domain_logit(X), expected, rtol=1e-4, atol=1e-5)
    view = snapshot(model, X, resolve_roles(y, domain), {"source_logit"})
    np.testing.assert_allclose(view.source_logit, expected[view.index], rtol=1e-4, atol=1e-5)


def test_it_is_that_of_the_first_part_of_a_sum_that_supplies_it(guide):
    X, y, domain = guide.X, guide.y, guide.sample_domain
    model = AdaptationClassifier(guide.LinearDANN() + DANN(), max_epochs=1, random_state=0).fit(X, y, domain)
    linear = model.net_.criterion_.objective.parts["lineardann"].linear
    expected = model.transform(X) @ linear.weight.detach().numpy()[0] + linear.bias.item()
    np.testing.assert_allclose(model.domain_logit(X), expected, rtol=1e-4, atol=1e-5)
