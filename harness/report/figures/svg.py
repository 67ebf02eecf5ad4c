"""A matplotlib figure as one inline `<svg>`: accessible, repeatable to the byte, ids unique in the page.

Text stays text. Every stand-in colour of `style` becomes a CSS variable of the page.
"""

from __future__ import annotations

import html
import io
import re

from matplotlib.figure import Figure

from harness.report.figures.style import VARIABLES

_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(?:xlink:href|href)="#([^"]+)"|url\(#([^)]+)\)')
_FONT = re.compile(r"font: (?:normal )?(bold )?([\d.]+)px [^;\"]*")
# a style for all elements of the page, the font (the page has its own), turns by nothing
_NOISE = re.compile(
    r"<defs>\s*<style.*?</style>\s*</defs>\s*|font-family: 'DejaVu Sans'; | transform=\"rotate\(-0 [^)]*\)\"", re.DOTALL
)
_GROUP = re.compile(r"<g\b[^>]*>\n|</g>\n")
_TAG = re.compile(r"<[^>]+>")
_DECIMALS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is enough, and the same on every machine
_SIZE = re.compile(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')


def inline(figure: Figure, key: str, title: str, description: str) -> str:
    """The `<svg>` element of a figure. `key` is unique in the page. Call it inside `style.settings(key)`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    return _opened(_own_ids(_coloured(_compact(text)), key), key, title, description)


def _compact(text: str) -> str:
    text = _FONT.sub(lambda m: f"font-size: {m[2]}px{'; font-weight: bold' if m[1] else ''}", text)
    text = _TAG.sub(lambda m: _compact_tag(m[0]), _NOISE.sub("", text))
    return re.sub(r"\n\s*", "\n", text)


def _compact_tag(tag: str) -> str:
    return _DECIMALS.sub(r"\1", re.sub(r"\s+", " ", tag)).replace(' "', '"')


def _coloured(text: str) -> str:
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    return text


def _own_ids(text: str, key: str) -> str:
    """Ids that are referred to get the figure's key in front; the others, which repeat in every figure, go."""
    used = {name for pair in _REFERENCE.findall(text) for name in pair if name}
    text = _ID.sub(lambda m: f'id="{key}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'xlink:href="#', f'href="#{key}-', text)
    return _without_plain_groups(re.sub(r"<g\b[^>]*/>\n", "", text.replace("url(#", f"url(#{key}-")))


def _without_plain_groups(text: str) -> str:
    """Groups that say nothing go: half of what matplotlib writes."""
    kept: list[bool] = []

    def keep(match: re.Match[str]) -> str:
        if match[0].startswith("</"):
            return match[0] if kept.pop() else ""
        kept.append("=" in match[0])
        return match[0] if kept[-1] else ""

    return _GROUP.sub(keep, text)


def _opened(text: str, key: str, title: str, description: str) -> str:
    match = _SIZE.match(text)
    if match is None:
        raise ValueError("matplotlib wrote an svg element of an unknown form")
    width, height = match[1], match[2]
    head = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{key}-title {key}-desc">\n'
        f'<title id="{key}-title">{html.escape(title)}</title>\n<desc id="{key}-desc">{html.escape(description)}</desc>'
    )
    return head + text[match.end() :].rstrip()
