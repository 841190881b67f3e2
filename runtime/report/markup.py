"""HTML and SVG as trees: what comes from outside is escaped because there is no other way to put it in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

Content = Element | str
DASH = "—"  # where there is no figure
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but a tab and the end of a line


def tag(name: str, /, *children: Content, **attributes: str) -> Element:
    """An element with text and elements in the order given.

    An underscore in an attribute's name stands for a hyphen; one at its end keeps a Python keyword apart (`class_`).
    """
    element = Element(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def table(
    head: Sequence[str], rows: Sequence[Sequence[Content]], figures: Sequence[int], class_: str = "scroll"
) -> Element:
    """A table in a box, `class_`, that scrolls where the screen is narrow; `figures` are the columns of numbers."""

    def cell(name: str, column: int, content: Content) -> Element:
        return tag(name, content, class_="figure" if column in figures else "words")

    header = tag("tr", *(cell("th", column, text) for column, text in enumerate(head)))
    body = [tag("tr", *(cell("td", column, content) for column, content in enumerate(row))) for row in rows]
    return tag("div", tag("table", tag("thead", header), tag("tbody", *body)), class_=class_)


def number(value: float | None, form: str, infinite: str = DASH) -> str:
    """A figure as text; a dash where there is none, `infinite` for +inf: equal pictures have an infinite PSNR."""
    if value is None or math.isnan(value) or value == -math.inf:
        return DASH
    if value == math.inf:
        return infinite
    text = format(value, form)
    return text if float(text) else text.removeprefix("-")  # -0.000 would ask what is negative


def html_text(root: Element) -> str:
    """The whole document. Of a file's name, bytes that are no UTF-8 become `\\udcff`, control characters `\\x1b`."""
    text = tostring(root, encoding="unicode", method="html").encode("utf-8", "backslashreplace").decode()
    return "<!doctype html>\n" + CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text) + "\n"
