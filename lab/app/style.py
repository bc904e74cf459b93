"""What the pages look like beyond Streamlit's settings: widths, and what happens to figures in a narrow window."""

# Figures that a narrow window has room for, and those that need more of it than others; it scrolls all but the first.
SLIM = (
    "loss", "loss_overlay", "loss_bands", "rate_sweep", "weight_change", "spectrum", "expert_load", "lens_curve",
    "reliability", "state", "leak_map", "gradient_map", "row_check", "forest",
)  # fmt: skip
BROAD = ("lens", "map_pair", "contrast_maps", "reach-effect_map")

STYLE = """<style>
[data-testid="stMainBlockContainer"] {padding: 4.25rem clamp(1rem, 3vw, 3rem) 4rem; max-width: 1500px}
[data-testid="stStatusWidget"] {display: none}
[data-stale="true"] {opacity: 1 !important}
[class*="st-key-exhibit-"] {gap: 0.75rem}
@media (min-width: 900px) {
  [data-testid="stLayoutWrapper"]:has(> .st-key-scrubbers) {position: sticky; top: 3.75rem; z-index: 50}
  .st-key-scrubbers {background: PAGE}
}
@media (max-width: 640px) {
  [class*="st-key-exhibit-"] [data-testid="stElementContainer"] {overflow-x: auto}
  [class*="st-key-exhibit-"] .strawberry-canvas {min-width: 640px}
  :is(SLIM) .strawberry-canvas.strawberry-canvas {min-width: 0}
  :is(BROAD) .strawberry-canvas.strawberry-canvas {min-width: 860px}
  [role="radiogroup"] {flex-wrap: wrap; row-gap: 0.25rem}
}
</style>"""


def style(page: str) -> str:
    """The style sheet, for a page of this background colour."""
    sheet = STYLE.replace("PAGE", page)
    for word, names in (("SLIM", SLIM), ("BROAD", BROAD)):
        sheet = sheet.replace(word, ", ".join(f".st-key-exhibit-{name}" for name in names))
    return sheet
