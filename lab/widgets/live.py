"""A figure that changes in place: what is on the page stays, with the person's zoom, and only numbers move."""

import plotly.graph_objects as go


def live(figure: go.Figure) -> go.FigureWidget:
    """A widget that shows a figure and can show others of its kind later; it fills the width it is given."""
    widget = go.FigureWidget(figure)
    widget.layout.autosize = True
    return widget


def refresh(widget: go.FigureWidget, figure: go.Figure) -> None:
    """Make a widget show another figure, sending what differs.

    A figure with the same traces moves smoothly; one with other traces (another layer's, say) replaces them.
    """
    with widget.batch_update():
        if [trace.type for trace in widget.data] == [trace.type for trace in figure.data]:
            for old, new in zip(widget.data, figure.data, strict=True):
                old.update(new.to_plotly_json(), overwrite=False)
        else:
            widget.data = ()
            widget.add_traces(figure.data)
        widget.update_layout(figure.layout.to_plotly_json(), overwrite=False)
