"""Report of a loop or session as one page of HTML that needs no network."""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from skada_active.inspection._campaign import Campaign
from skada_active.inspection._fitted import as_loop, as_session, strategy_name
from skada_active.inspection._plotting import require_matplotlib
from skada_active.inspection._sections import sections_of
from skada_active.inspection.shift_report import ShiftReport
from skada_active.io.estimators import write_bytes
from skada_active.utils.fitting import keeps_grad_mode, split_pipeline

__all__ = ["report"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ink: #1b1b1b; --paper: #ffffff; --faint: #5a5a5a; --line: #d0d0d0; --shade: #f4f5f7 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181b; --faint: #a9a9a9; --line: #3d4045; --shade: #202327 }
  /* White becomes black and hues stay what they are, in the legend and in the points alike. */
  figure img { filter: invert(0.92) hue-rotate(180deg) }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 0 auto; padding: 1rem 1.2rem 3rem; overflow-wrap: break-word }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0 }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--line) }
.headline { font-size: 1.15rem; font-weight: 600; background: var(--shade); padding: .7rem 1rem; border-radius: .4rem }
.note, caption, figcaption, footer { color: var(--faint); font-size: .9rem }
.wide { overflow-x: auto; margin: .8rem 0 }
table { border-collapse: collapse; font-size: .92rem }
caption { text-align: left; padding-bottom: .2rem }
th, td { text-align: left; vertical-align: top; padding: .22rem 1.1rem .22rem 0; border-bottom: 1px solid var(--line) }
thead th { border-bottom: 2px solid var(--line) }
tbody th { font-weight: 600 }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
figure { margin: 1rem 0 }
figure img { max-width: 100%; height: auto }
summary { cursor: pointer; margin: .6rem 0 }
@media print {
  body { max-width: none; font-size: 11pt; color: #000; background: #fff }
  figure, tr { break-inside: avoid }
  h2 { break-after: avoid }
  figure img { filter: none }
  details::details-content { content-visibility: visible; block-size: auto }
}
</style>
</head>
<body>
<main>
<h1>$title</h1>
$sections
</main>
<footer>$footer</footer>
</body>
</html>
""")


@keeps_grad_mode
def report(
    fitted: Any, path: Any, *, control: Any = None, shift: ShiftReport | None = None, title: str | None = None
) -> Path:
    """Write what a loop or session did, and how good its model is, to one file of HTML.

    The page has the shift between the domains, the learning curve, what is known of the accuracy, what was asked, the
    balance of the classes, the settings, versions and times. It holds its pictures itself, runs no script and fetches
    nothing from the network.

    Parameters
    ----------
    fitted : ActiveAdaptationLoop or AdaptationSession
        A fitted loop or recipe, or a session, finished or not.
    path : str or path
        The file, such as ``"report.html"``; its folder is made if it is not there. A file that was there before is
        replaced, all at once.
    control : ActiveAdaptationLoop, AdaptationSession or list of them, default=None
        The same loop, fitted on the same rows with `RandomSampling`, over one or several seeds: a grey line beside the
        learning curve. ``None``: none, and the page says so; nothing is run for it.
    shift : ShiftReport, default=None
        What `diagnose_shift` returned; ``None``: it is called here, with the audited labels, the only ones of rows that
        were drawn at random. Rows that are no table are compared by the features of the model.
    title : str, default=None
        Heading of the page; ``None``: estimator and strategy.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `fitted` or `control` is something else.
    ValueError
        If the control has other rows.

    Notes
    -----
    Two thousand rows are drawn, five thousand looked at for the shift and for the classes that the model predicts, so
    that the page stays far below a megabyte and takes seconds, whatever the number of rows. Beside the trainings that
    an interrupted session still lacks, nothing is trained but what the diagnosis of the shift takes. Names of classes
    and columns, settings and answers are shown as text, whatever they hold. Anybody who reads the page sees the labels
    that were bought, and which of them were audited.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop, inspection
    >>> from skada_active.datasets import make_shifted_blobs
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=10, n_rounds=2, random_state=0)
    >>> path = inspection.report(loop.fit(X, y, sample_domain=sample_domain), tempfile.mkdtemp() + "/report.html")
    >>> path.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    require_matplotlib("inspection.report")
    session, loop = as_session(fitted, "fitted"), as_loop(fitted, "fitted")
    if title is None:
        title = f"{type(split_pipeline(session.settings.estimator)[1]).__name__}, asked by {strategy_name(loop)}"
    now = datetime.now(timezone.utc)
    page = _PAGE.substitute(
        title=escape(str(title)),
        sections="\n".join(sections_of(Campaign.of(loop, session, control), shift)),
        footer=escape(f"Written by skada_active.inspection.report, {now:%Y-%m-%d %H:%M} UTC."),
    )
    path = Path(path)
    write_bytes(path, page.encode("utf-8", errors="replace"))
    return path
