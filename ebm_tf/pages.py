"""Pages of Markdown and HTML, made from the templates beside this package."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ebm_tf.evaluation.rounding import rounded


def rendered(template: str, values: Mapping[str, Any], escaped: bool, **filters: Callable[..., Any]) -> str:
    """A template with its values; one that it names and that is not there is an error.

    Args:
        escaped: whether values are text within HTML.
        filters: beside `rounded`, by name.
    """
    environment = Environment(
        loader=PackageLoader("ebm_tf", "templates"), autoescape=escaped, undefined=StrictUndefined
    )
    environment.filters |= {"rounded": rounded, **filters}
    return environment.get_template(template).render(values)


def embedded(picture: Path) -> str:
    """A picture as a page holds it."""
    return base64.b64encode(picture.read_bytes()).decode("ascii")
