"""Pieces of HTML: everything that comes from data is escaped, and pictures are part of the page."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

__all__ = ["details", "figure", "paragraph", "section", "svg_bytes", "table"]

#: Cells hold at most so many characters.
_LONGEST = 300
_NUMBER = re.compile(r"–|-?\d+(\.\d+)?(e[-+]\d+)?( %)?( \(\d+ to \d+\))?")


def text(value: Any) -> str:
    """Return a value as text for HTML, shortened where it is very long."""
    words = str(value)
    return escape(words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…", quote=True)


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of plain words."""
    return f"<p{_class(kind)}>{escape(words)}</p>"


def section(title: str, *parts: str) -> str:
    """Return a section with a heading; parts are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def details(summary: str, *parts: str) -> str:
    """Return what opens on a click, and in print where the browser can; parts are HTML."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], *, align: bool = True) -> str:
    """Return a table whose first column heads its rows; with `align`, numbers are set to the right."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "".join(
        f"<tr>{''.join(_cell(value, not position, align) for position, value in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(picture: bytes, alt: str, caption: str) -> str:
    """Return a picture in SVG with its description for those who do not see it, and its caption."""
    # As an image, and not as a part of the document, no text in it is ever run, and no two ids of pictures meet.
    source = f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
    image = f'<img src="{source}" alt="{escape(alt, quote=True)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def svg_bytes(drawn: Any) -> bytes:
    """Return a figure of matplotlib as SVG, its texts as texts, what it has rasterised at 150 dots per inch."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        drawn.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _cell(value: Any, is_head: bool, align: bool) -> str:
    if is_head:
        return f'<th scope="row">{text(value)}</th>'
    written = _written(value)
    return f"<td{_class('number' if align and _NUMBER.fullmatch(written) else '')}>{text(written)}</td>"


def _written(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
