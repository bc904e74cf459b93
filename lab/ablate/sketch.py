"""The verdicts of a study as a small SVG, for places that run no scripts, such as Markdown."""

import html
from collections.abc import Iterator, Sequence

from lab.ablate.metric import METRICS
from lab.ablate.verdict import BETTER, EQUAL, UNRANKED, WORSE, Verdict, briefly
from lab.figures.study.forest import span
from lab.figures.theme import FONT, Colours, colours

WIDTH, LABELS, WORDS = 900, 190, 330  # pixels of the whole, of the names at the left, of the words at the right
ROW, HEAD, FOOT = 26, 30, 34
_CLASSES = {BETTER: "better", WORSE: "worse", EQUAL: "equal", UNRANKED: "leaks"}


def sketch(verdicts: Sequence[Verdict], delta: float) -> str:
    """The SVG, light or dark as its reader's system is; ``delta`` is the margin that is shaded."""
    by_data = {data: [one for one in verdicts if one.data == data] for data in dict.fromkeys(v.data for v in verdicts)}
    parts, top = [], 0
    for data, group in by_data.items():
        parts += _panel(data, group, delta, top)
        top += HEAD + ROW * len(group) + FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sketch" width="{WIDTH}" height="{max(top, ROW)}" '
        f'viewBox="0 0 {WIDTH} {max(top, ROW)}" role="img" aria-label="Gains with 95 % intervals, and verdicts">\n'
        f"<style>{_style()}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(data: str, group: Sequence[Verdict], delta: float, top: int) -> Iterator[str]:
    """One data set, on its own scale."""
    low, high = span(group, delta)

    def place(percent: float) -> float:
        share = (min(max(percent, low), high) - low) / (high - low)
        return round(LABELS + share * (WIDTH - LABELS - WORDS - 16), 1)

    first, bottom = top + HEAD, top + HEAD + ROW * len(group)
    yield f'<text class="head" x="0" y="{top + 20}">{html.escape(data)}</text>'
    left, right = place(-100 * delta), place(100 * delta)
    yield f'<rect class="margin" x="{left}" y="{first}" width="{right - left:.1f}" height="{bottom - first}"/>'
    yield f'<line class="zero" x1="{place(0)}" x2="{place(0)}" y1="{first}" y2="{bottom}"/>'
    for number, verdict in enumerate(group):
        y, kind = first + ROW * number + ROW // 2, _CLASSES.get(verdict.word, "open")
        yield f'<text x="0" y="{y + 4}">{html.escape(verdict.variant)}</text>'
        if verdict.gain is not None:
            if verdict.low is not None and verdict.high is not None and verdict.word != UNRANKED:
                ends = place(100 * verdict.low), place(100 * verdict.high)
                yield f'<line class="{kind}" x1="{ends[0]}" x2="{ends[1]}" y1="{y}" y2="{y}"/>'
            yield f'<circle class="{kind}" cx="{place(100 * verdict.gain)}" cy="{y}" r="5"/>'
        yield f'<text class="{kind}" x="{WIDTH - WORDS}" y="{y + 4}">{html.escape(_words(verdict))}</text>'
    metric = METRICS[group[0].metric]
    unit = "points of accuracy" if metric.absolute else f"% of {metric.words}"
    for edge in (-delta, 0.0, delta):
        text = f'<text class="quiet middle" x="{place(100 * edge)}" y="{bottom + 14}">'
        yield f"{text}{100 * edge:+.2g}</text>" if edge else f"{text}0</text>"
    yield f'<text class="quiet" x="{WIDTH - WORDS}" y="{bottom + 14}">gain, {unit}: right is better</text>'


def _words(verdict: Verdict) -> str:
    word, more = briefly(verdict)
    if verdict.word in (BETTER, WORSE, EQUAL):
        return f"{word} {more}"
    return f"{word} ({more})" if more else word


def _style() -> str:
    """Rules for this picture alone: it also stands inside of a page."""
    dark = f"@media (prefers-color-scheme: dark) {{ {_rules(colours('dark'))} }}"
    return _own({"text": f"font: 13px {FONT}", ".head": "font-weight: 600", ".middle": "text-anchor: middle"}) + (
        f" {_own({'.quiet': 'font-size: 11px', 'line': 'stroke-width: 2'})} {_rules(colours('light'))} {dark}"
    )


def _rules(c: Colours) -> str:
    """Colours by meaning, as in the other figures."""
    shades = {"better": c.experts[2], "worse": c.experts[1], "equal": c.experts[0], "leaks": c.alarm, "open": c.muted}
    rules = {
        "text": f"fill: {c.text}", ".quiet": f"fill: {c.muted}", "text.open": f"fill: {c.muted}",
        ".margin": f"fill: {c.experts[0]}; opacity: 0.15", ".zero": f"stroke: {c.muted}; stroke-width: 1",
    }  # fmt: skip
    for kind, shade in shades.items():
        fill = "none" if kind in ("open", "leaks") else shade
        rules |= {
            f"line.{kind}": f"stroke: {shade}",
            f"circle.{kind}": f"fill: {fill}; stroke: {shade}; stroke-width: 2",
        }
    return _own(rules)


def _own(rules: dict[str, str]) -> str:
    return " ".join(f".sketch {name} {{ {rule} }}" for name, rule in rules.items())
