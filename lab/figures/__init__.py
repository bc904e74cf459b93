"""Numbers in, one plotly figure out: every picture that the pages and notebooks show.

All take `theme="light" | "dark"`, never call .show(), and have a table of the same name in `lab.figures.tables`:
`table(name, *same arguments) -> pandas.DataFrame`. Frames count 0..loops, everything else from 0.

Retention
  filmstrip(probe, *, layer=0, projection="qkv", chunk=-1, frame=None, theme="light")
      wC (top) and wT (bottom) as matrices over frames 0..R; `frame` is outlined.
  filmstrip_from(current, transformed, *, title="", theme="light")
      the same from two lists of 2-D arrays (or tensors), for notebooks.
  weight_change(probe, *, layer=0, chunk=-1, which="current", frame=None, theme="light")
      RMS, change from base, cosine to base and to the frame before, over frames, one line per projection.
  spectrum(probe, *, layer=0, projection="qkv", which="current", chunk=-1, frame=None, theme="light")
      singular values per frame, log scale, effective rank in the legend.
  input_share(probe, *, layer=0, projection="qkv", theme="light")
      chunk x frame: share of wC that depends on the input; layer=None gives layer x frame for the last chunk.
  weight_difference(probe, other, *, layer=0, projection="qkv", frame=-1, other_frame=0, chunk=-1, which="current",
                    theme="light")
      two pictures and their difference: any two (step, frame) pairs.
Training
  loss_curve(steps, losses, *, validation=None, bytes_per_token=None, title="", theme="light")
      training loss raw and smoothed; validation = (steps, losses); right axis in bits/byte.
  loss_curve_of(events, *, bytes_per_token=None, title="", theme="light")
      the same from event dicts ("event": "step" | "evaluated").
Experts (kind = "attention" | "swiglu" | "ffn")
  expert_heatmap(probe, *, layer=0, loop=0, kind="ffn", values="gates", theme="light")
  expert_load(probe, *, layer=0, kind="ffn", loop=None, theme="light")
Attention and AFT (index = head or channel; None = mean over all)
  attention_map(probe, *, layer=0, loop=0, index=None, tokens=None, theme="light")
      tokens=(start, stop) shows a part.
  map_pair(probe, left, right, *, tokens=None, theme="light")
      left, right = (layer, loop, index): two maps with the same range.
  map_grid(probe, *, layer=0, loop=0, theme="light")
      small multiples of all heads, or of up to 16 channels.
  map_profile(probe, *, layer=0, loop=0, index=None, theme="light")
      entropy and mean distance per query token.
Leaks
  leak_map(verdict, *, theme="light")
Export
  to_html(figures, path, *, title, probe=None, snippet=None) -> Path     (lab.figures.export)
"""
