"""Pages that open from disk: templates with autoescape, one style sheet inlined, no scripts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a browser may load for our pages: nothing but the page itself."""


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("embedlab.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def fragment(template: str, **values: Any) -> str:
    """Return a template filled in; every value is escaped unless it is Markup."""
    return _environment().get_template(template).render(**values)


def page(template: str, contract_hash: str = "", **values: Any) -> str:
    """Return a whole page with the style sheet inlined and a policy that forbids every load.

    Args:
        template: its file name.
        contract_hash: of the contract that the page's numbers were made under; it stands at the foot.
        **values: of the template.
    """
    from markupsafe import Markup

    loader = _environment().loader
    assert loader is not None
    style, _, _ = loader.get_source(_environment(), "style.css")
    fixed = {"style": Markup(style), "policy": POLICY, "contract_hash": contract_hash}  # noqa: S704  our own file
    return fragment(template, **fixed, **values)
