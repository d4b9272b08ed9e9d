"""Section of a report on the shift between the domains."""

from __future__ import annotations

import numpy as np
from sklearn.frozen import FrozenEstimator

from skada_active.inspection._campaign import Campaign
from skada_active.inspection._markup import paragraph, section
from skada_active.inspection._pictures import shift
from skada_active.inspection.shift import diagnose_shift
from skada_active.inspection.shift_report import ShiftReport
from skada_active.labels import mask_labels
from skada_active.utils.rows import is_dataset

__all__ = ["shift_section"]


def shift_section(campaign: Campaign, report: ShiftReport | None) -> str:
    """Return what a report says of the shift; without one, it is made here, or the section says why it cannot be."""
    try:
        found = _diagnosed(campaign) if report is None else report
    except (TypeError, ValueError) as error:
        return section("Shift", paragraph(f"There is no diagnosis: {error}", "note"))
    return section("Shift", shift(found), found._repr_html_())


def _diagnosed(campaign: Campaign) -> ShiftReport:
    session, state = campaign.session, campaign.state
    if session.X is None:
        raise ValueError("the loop was loaded without its rows; give them to load(path, X=X).")
    domain = state.initial_roles.domain
    if is_dataset(session.X) or len(session.X.shape) != 2:
        # By what the model sees of the rows. It was trained on the source, of whose classes it is too sure.
        return diagnose_shift(session.X, domain, estimator=FrozenEstimator(session.estimator_), random_state=0)
    # Of the target's labels, the audited ones alone are of rows drawn at random.
    is_audited = np.isin(np.arange(len(domain)), state.audited_ids)
    known = mask_labels(state.y, state.initial_roles.is_target & ~is_audited)
    return diagnose_shift(session.X, domain, known, random_state=0)
