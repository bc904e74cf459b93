"""Numbers in, one plotly figure out: every picture that the pages and notebooks show.

Each function takes ``theme="light"`` or ``"dark"``, returns a figure and never shows it; `tables.table` gives the same
numbers as a table, and `export.to_html` one offline page. A figure brings its paper along, of the colour
`theme.colours(theme).page`, so that a light one can be read in a dark notebook too.
"""

from lab.figures.attention import attention_map, map_grid, map_pair, map_profile
from lab.figures.contrast import contrast_experts, contrast_filmstrip, contrast_maps
from lab.figures.depth import exit_depth
from lab.figures.difference import weight_difference
from lab.figures.effect import effect_distribution, effect_tokens
from lab.figures.effect_map import effect_map
from lab.figures.evolution import weight_change
from lab.figures.export import to_html
from lab.figures.filmstrip import filmstrip, filmstrip_from
from lab.figures.growth import state_growth
from lab.figures.influence import influence
from lab.figures.leaks import gradient_map, leak_map, row_check
from lab.figures.lens import lens, lens_curve
from lab.figures.level import level
from lab.figures.loss import loss_curve, loss_curve_of
from lab.figures.overlay import loss_overlay
from lab.figures.reliability import reliability
from lab.figures.rounding import rounded_weights
from lab.figures.routing import expert_heatmap, expert_load
from lab.figures.share import input_share
from lab.figures.spectrum import spectrum
from lab.figures.tables import table
from lab.figures.theme import FigureError, colours

__all__ = [
    "FigureError",
    "attention_map",
    "colours",
    "contrast_experts",
    "contrast_filmstrip",
    "contrast_maps",
    "effect_distribution",
    "effect_map",
    "effect_tokens",
    "exit_depth",
    "expert_heatmap",
    "expert_load",
    "filmstrip",
    "filmstrip_from",
    "gradient_map",
    "influence",
    "input_share",
    "leak_map",
    "lens",
    "lens_curve",
    "level",
    "loss_curve",
    "loss_curve_of",
    "loss_overlay",
    "map_grid",
    "map_pair",
    "map_profile",
    "reliability",
    "rounded_weights",
    "row_check",
    "spectrum",
    "state_growth",
    "table",
    "to_html",
    "weight_change",
    "weight_difference",
]
