"""Program ``skada-active``, as ``python -m skada_active.cli``."""

from __future__ import annotations

import sys

from skada_active.cli.program import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
