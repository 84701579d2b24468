"""Templates become HTML pages in the look of the project."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from retrieval_core.visualize.theme import DARK, LIGHT

MINUS = "\N{MINUS SIGN}"


def render(template: str, **content: Any) -> str:
    """Fill in a template of this package.

    Its filters "percent" and "signed" write fractions of 1 in percent.

    Args:
        template: file name.
        content: its variables; the themes `light` and `dark` are always there.
    """
    environment = Environment(
        loader=PackageLoader("retrieval_core", "visualize"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["signed"] = lambda value: f"{100 * value:+.1f}".replace("-", MINUS)
    page: str = environment.get_template(template).render(light=LIGHT, dark=DARK, **content)
    return page
