from __future__ import annotations

import subprocess
import sys

import skada_active.selection as selection


def test_all_public_names_exist():
    assert all(hasattr(selection, name) for name in selection.__all__)


def test_selection_needs_no_torch():
    code = "import sys, skada_active.selection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
