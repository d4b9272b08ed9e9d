"""Sphinx extension that writes formulas as MathML, so that browsers show them without a script or the network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.errors import ExtensionError

__all__ = ["setup", "to_mathml"]

_CONVERTER = LatexToMathML(fancy_error=False)


def to_mathml(latex: str, *, block: bool) -> str:
    """Return the MathML of a formula; one that cannot be converted is an error that shows it."""
    try:
        return _CONVERTER.convert_with_local_state(latex, displaystyle=block)
    except LatexError as error:
        raise ExtensionError(f"The formula {latex!r} has no MathML: {error}") from error


def _visit_math(self: Any, node: nodes.math) -> None:
    self.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_math_block(self: Any, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="formula"))
    self.body.append(to_mathml(node.astext(), block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer, which ``html_math_renderer = "mathml"`` chooses."""
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
