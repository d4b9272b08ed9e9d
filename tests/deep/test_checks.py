from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skada_active.deep import DANN, MCC, MME, TSF, AdaptationClassifier, MarginLoss


@parametrize_with_checks(
    [
        AdaptationClassifier(max_epochs=5, random_state=0),
        AdaptationClassifier(
            MarginLoss() + MME() + MCC() + DANN() + TSF(),
            head="cosine",
            labeled_loss="joint",
            max_epochs=5,
            random_state=0,
        ),
    ]
)
@pytest.mark.filterwarnings("ignore:objective=")
def test_scikit_learn_finds_nothing_to_complain_about(estimator, check):
    check(estimator)
