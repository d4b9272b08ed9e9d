from __future__ import annotations

import skada_active.selection as selection


def test_all_public_names_exist():
    assert all(hasattr(selection, name) for name in selection.__all__)
