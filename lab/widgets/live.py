"""A plotly figure that changes in place: what is on the page stays, with the person's zoom, and the numbers move."""

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

# Plotly's own FigureWidget sends changes, and loses those made before the page has loaded it. Here the page is told
# the whole figure each time, and plotly.js works out what differs.
RENDER = """
const Plotly = globalThis.Plotly;
export default {
  render({ model, el }) {
    const place = el.appendChild(document.createElement("div"));
    let drawn = false;
    const draw = () => {
      if (!place.clientWidth) return;  // not on the page yet, so that nothing can be measured
      const { data, layout } = JSON.parse(model.get("figure"));
      Plotly.react(place, data, { ...layout, autosize: true }, { displaylogo: false });
      drawn = true;
    };
    const sized = new ResizeObserver(() => (drawn && place.clientWidth ? Plotly.Plots.resize(place) : draw()));
    sized.observe(place);
    model.on("change:figure", draw);
    return () => {
      sized.disconnect();
      model.off("change:figure", draw);
      Plotly.purge(place);
    };
  },
};
"""


class LiveFigure(anywidget.AnyWidget):
    """Shows a figure as wide as its cell, and another one after each :meth:`show`; works without a network."""

    _esm = f"{get_plotlyjs()}\n{RENDER}"
    figure = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure) -> None:
        super().__init__()
        self.show(figure)

    def show(self, figure: go.Figure) -> None:
        """Change the page to this figure; zoom and hidden traces survive where its ``uirevision`` is the same."""
        self.figure = str(figure.to_json())
