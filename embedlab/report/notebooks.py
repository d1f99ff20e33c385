"""Executed notebooks as pages: sanitized, without widgets, scripts or anything loaded from outside."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from embedlab.chain.steps import Step
from embedlab.errors import IntegrityError, shown
from embedlab.report.pages import page

SHOWN = ["text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]
"""Output types that a page may hold, best first; of a widget its static twin remains."""

_INLINE = "a abbr b br code del em i img kbd s small span strong sub sup u"

_BLOCKS = "blockquote dd details div dl dt figcaption figure h1 h2 h3 h4 h5 h6 hr li ol p pre section summary ul"

_TABLES = "caption table tbody td tfoot th thead tr"

TAGS = frozenset(f"{_INLINE} {_BLOCKS} {_TABLES}".split())

_DROPPED = re.compile(r"<(style|script)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)

_PLAIN = frozenset({"class", "title", "colspan", "rowspan", "align", "scope", "start", "id", "alt", "width", "height"})


def notebook_page(path: Path, step: Step, before: Step | None, after: Step | None, run: str, agreed: str = "") -> str:
    """Return an executed notebook as a page of its own, with links to its neighbours and the contract's hash."""
    from markupsafe import Markup

    try:
        found = _body(path)
    except _faults() as error:
        raise IntegrityError(
            f"{path}: cannot be read as a notebook: {type(error).__name__}: {shown(error)}; delete it, or run its step "
            f"again: embedlab run {path.parents[1] / 'params.yaml'} --only {step.number} --force"
        ) from error
    body = Markup(sanitize(found))  # noqa: S704  sanitized on this very line
    return page(
        "notebook.html.j2",
        agreed,
        title=f"{step.number} {step.title}",
        body=body,
        code_style=Markup(code_style()),  # noqa: S704  pygments' own
        step=step,
        before=before,
        after=after,
        run=run,
    )


def _faults() -> tuple[type[Exception], ...]:
    """Return what nbformat and nbconvert raise at files that are no notebooks: one for each thing that is missing."""
    import nbformat

    return (nbformat.ValidationError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def _body(path: Path) -> str:
    """Return the cells of a notebook as HTML."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("papermill", None)
        if cell.cell_type == "code":
            cell.outputs = [kept for kept in map(_presentable, cell.outputs) if kept is not None]
    body, _ = _exporter().from_notebook_node(notebook)
    return str(body)


def _presentable(output: Any) -> Any:
    """Return an output with the types that a page may hold; None where nothing remains."""
    if "data" not in output:
        return output
    output.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
    if "text/html" in output.data:
        output.data["text/html"] = _DROPPED.sub("", output.data["text/html"])
    for kind in ("image/png", "image/jpeg"):
        if kind in output.data:
            output.metadata.setdefault(kind, {})["alt"] = "figure of the cell above"
    return output if output.data else None


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.NbConvertBase.display_data_priority = SHOWN
    exporter = HTMLExporter(template_name="basic", config=config)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    exporter.exclude_anchor_links = True
    return exporter


def sanitize(html: str) -> str:
    """Return HTML with known harmless tags only; images come inlined and links stay in the report."""
    import bleach

    return str(bleach.clean(html, tags=TAGS, attributes=_allowed, protocols=["data"], strip=True, strip_comments=True))


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "src":
        return tag == "img" and re.match(r"data:image/(png|jpeg);base64,", value) is not None
    if name == "href":
        return value.startswith("#")
    return name in _PLAIN


@cache
def code_style() -> str:
    """Return pygments' style sheets for code, light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
