"""One offline page with plotly.js once, and a snippet that says how to draw it again."""

import re

from lab import figures


def test_page_is_whole_offline_and_says_what_it_shows(probe, tmp_path):
    drawn = [figures.filmstrip(probe), figures.expert_load(probe)]
    page = figures.to_html(drawn, tmp_path / "out" / "page.html", title="A <page>", probe=probe).read_text("utf-8")
    assert page.count("plotly.js v") == 1
    assert page.count('class="plotly-graph-div"') == 2
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert "A &lt;page&gt;" in page
    assert "first · step 7 · seed 0" in page
    for line in ("figures.filmstrip(probe)", "figures.expert_load(probe)", "strawberry.open_run", "step=7"):
        assert line in page


def test_dark_page_has_the_dark_background(probe, tmp_path):
    page = figures.to_html([figures.spectrum(probe, theme="dark")], tmp_path / "page.html")
    text = page.read_text("utf-8")
    assert 'data-theme="dark"' in text
    assert f"--page: {figures.colours('dark').page}" in text
