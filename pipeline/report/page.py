"""One self-contained page: template, style and script in one file, and a policy that forbids the rest.

A page asks nobody for anything: no font, no image, no address. Its own content security policy says so
to the browser (``default-src 'none'``, the one script by its hash), so that even text that slipped
through escaping could not run or phone home.

Table of contents: `render`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.terminal import clock, hours_zh, number

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, /, *, scripts: tuple[str, ...] = (), **values: Any) -> str:
    """Fill a template with values, everything escaped, style and script inlined.

    Parameters
    ----------
    template : str
        Name of a file in ``templates/``; it extends ``base.html.j2``.
    scripts : tuple of str
        Script files of ``templates/``, in order.
    **values
        What the template shows. Text is escaped wherever it stands.

    Returns
    -------
    str
        A whole HTML document.
    """
    from markupsafe import Markup

    style = _source("page.css")
    script = "\n".join(_source(name) for name in scripts)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )
    # Both are this package's own files, never anybody's input.
    own: dict[str, Any] = {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704
    return _environment().get_template(template).render(**values, **own)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "number": number, "hours": hours_zh}
    return environment


@cache
def _source(name: str) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    if "</" in text:  # it would end its own element
        raise ValueError(f"{name}: holds '</'; write it otherwise")
    return text


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
