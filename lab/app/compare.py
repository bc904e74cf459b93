"""Compare: any two runs, or two steps of one, side by side on equal scales, and their difference."""

import streamlit as st

from lab import jobs, recorded
from lab.app import linked, live, shell
from lab.app.exhibit import exhibit
from lab.app.scrub import Place
from lab.app.view import view
from lab.app.words import literal
from lab.figures.contrast import same_text
from lab.jobs import Job
from lab.probe import Probe
from strawberry.errors import StrawberryError

ABOUT = (
    "Two models, or one at two moments, looked at in the same way: **A** is the run and the step chosen here, **B** is "
    "any other. Colours mean the same in both, and the last panel is what is left when B is taken from A."
)
VIEWS = {"weights": "Filmstrip of the weights", "experts": "Experts", "maps": "Who reads whom"}
KINDS = {"attention": "attention experts", "swiglu": "SwiGLU experts", "ffn": "feed-forward experts"}


def page() -> None:
    """A at the shared scrubbers, B beside it."""
    view("Compare", ABOUT, "02_retention_by_hand", draw)


def draw(job: Job, place: Place) -> None:
    """Choose B and the view, and draw both."""
    found = _second(job, place)
    if found is None:
        return
    other, layer = found
    probe = place.probe
    offered = [name for name in VIEWS if _has(name, probe) and _has(name, other)]
    if st.session_state.get("view") not in offered:
        st.session_state.pop("view", None)
    chosen = st.segmented_control(
        "View",
        offered,
        default=offered[0],
        key="view",
        bind="query-params",
        required=True,
        format_func=VIEWS.__getitem__,
    )
    if not same_text(probe, other) and chosen != "weights":
        _one_text(job, other)
    {"weights": _weights, "experts": _experts, "maps": _maps}[str(chosen)](place, other, layer)


def _has(name: str, probe: Probe) -> bool:
    return {"weights": bool(probe.projections), "experts": bool(probe.routers), "maps": True}[name]


def _second(job: Job, place: Place) -> tuple[Probe, int] | None:
    """B: a run with a picture, a step, a layer; at first this run's first step, or another run where it has but one."""
    folder = jobs.runs_folder()
    names = [run.name for run in jobs.every(folder) if recorded.probes(run.folder)]
    own = recorded.probes(job.folder)
    others = [name for name in names if name != job.name]
    default = job.name if len(own) > 1 or not others else others[0]
    with st.container(border=True, key="second"):
        first, second, third = st.columns([4, 4, 2], vertical_alignment="center")
        with first:
            _keep("other", names)
            name = st.selectbox(
                "B: run", names, index=names.index(default) if default in names else 0, key="other", bind="query-params"
            )
        run = jobs.find(folder, str(name))
        steps = recorded.probes(run.folder) if run else []
        if run is None or not steps:
            st.info("This run has no picture any more; choose another one.")
            return None
        options = [str(step) for step in steps]
        step = options[0] if name == job.name else options[-1]
        with second:
            if len(options) > 1:
                # Another run has other steps.
                key = f"other-step-{name}"
                _keep(key, options)
                step = st.select_slider("B: training step", options, value=step, key=key, bind="query-params")
            else:
                st.caption(f"B has one picture, at step {step}.")
        other = live.probe(run.folder, int(step))
        if other is None:
            st.info("This look was removed to save space; choose another step.")
            return None
        layers = [str(number) for number in range(other.layers)]
        like = min(place.layer, other.layers - 1)
        with third:
            if other.layers != place.probe.layers or other.mixers != place.probe.mixers:
                key = f"other-layer-{other.layers}"
                _keep(key, layers)
                like = int(st.segmented_control("B: layer", layers, default=str(like), key=key, required=True) or like)
        a, b = place.probe, other
        st.caption(f"**A** {_told(a, place.layer)}  \n**B** {_told(b, like)}")
    return other, like


def _told(probe: Probe, layer: int) -> str:
    name, mixer = literal(str(probe.run)), probe.mixer_name(layer)
    return f"{name} · step {probe.step:,} · layer {layer}, {mixer} · {probe.tokens} tokens"


def _weights(place: Place, other: Probe, layer: int) -> None:
    first, second, third = st.columns([3, 2, 3])
    both = [name for name in place.probe.projections if name in other.projections]
    _keep("projection", both)
    projection = first.segmented_control(
        "Projection", both, default=both[0], key="projection", bind="query-params", required=True
    )
    side = second.segmented_control(
        "Weights", ["wC", "wT"], default="wC", key="side", bind="query-params", required=True
    )
    ranges = third.segmented_control(
        "Scale", ["own", "shared"], default="own", key="ranges", bind="query-params", required=True,
        format_func={"own": "each in its own RMS", "shared": "as they are"}.__getitem__,
    )  # fmt: skip
    exhibit(
        "contrast_filmstrip", place.probe, other, layer=place.layer, other_layer=layer, projection=projection,
        which="current" if side == "wC" else "transformed", ranges=ranges,
    )  # fmt: skip


def _experts(place: Place, other: Probe, layer: int) -> None:
    kinds = [kind for number, kind in place.probe.routers if number == place.layer]
    kinds = [kind for kind in kinds if (layer, kind) in other.routers]
    if not kinds:
        st.info(f"Layer {place.layer} of A and layer {layer} of B have no experts of one kind; choose another layer.")
        return
    first, second = st.columns([3, 2])
    _keep("kind", kinds)
    kind = first.segmented_control(
        "Experts",
        kinds,
        default=kinds[0],
        key="kind",
        bind="query-params",
        required=True,
        format_func=KINDS.__getitem__,
    )
    values = second.segmented_control(
        "Colour", ["gates", "probs"], default="gates", key="values", bind="query-params", required=True,
        format_func={"gates": "gate", "probs": "router's probability"}.__getitem__,
    )  # fmt: skip
    exhibit(
        "contrast_experts", place.probe, other, layer=place.layer, other_layer=layer, loop=_loop(place, other),
        kind=kind, values=values,
    )  # fmt: skip


def _maps(place: Place, other: Probe, layer: int) -> None:
    probe = place.probe
    count = min(probe.map_count(place.layer), other.map_count(layer))
    axes = {probe.map_axis(place.layer), other.map_axis(layer)}
    index: int | None = None
    if len(axes) == 1:
        axis = axes.pop()
        options: list[int | None] = [None, *range(count)]
        if st.session_state.get("contrast-index") not in options:
            st.session_state.pop("contrast-index", None)
        index = st.selectbox(
            f"{axis.capitalize()}", options, key="contrast-index", bind="query-params",
            format_func=lambda index: f"mean of all {axis}s" if index is None else f"{axis} {index}",
        )  # fmt: skip
    else:
        st.caption("One of them counts channels and the other heads, so the means over all are shown.")
    exhibit(
        "contrast_maps", probe, other, layer=place.layer, other_layer=layer, loop=_loop(place, other), index=index,
    )  # fmt: skip


def _loop(place: Place, other: Probe) -> int:
    """The pass that is shown of both: the chosen one, or B's last where it has fewer."""
    if place.loop >= other.loops:
        st.caption(f"B has {other.loops} pass{'es' * (other.loops > 1)}, so pass {other.loops} of both is shown.")
    return min(place.loop, other.loops - 1)


def _one_text(job: Job, other: Probe) -> None:
    """Where A and B read different texts: let both read one."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("A and B read different tokens, so there is no difference to draw.", width="content")
        with st.popover("Let both read one text", icon=":material/edit_note:", type="tertiary"):
            text = st.text_area("Text", key="both-read", height=140, max_chars=20_000)
            st.caption("Their newest pictures will show them reading its beginning.")
            if st.button("Read it", key="both-read-it", type="primary", disabled=not text.strip()):
                second = jobs.find(jobs.runs_folder(), str(other.run))
                with st.spinner("The models are reading…"):
                    shell.attempt(lambda: _read(text, [job, *([second] if second and second != job else [])]))
                linked.leave()
                st.rerun()


def _read(text: str, runs: list[Job]) -> None:
    for run in runs:
        try:
            run.look_at(text)
        except StrawberryError as error:
            raise StrawberryError(f"{run.name}: {error}") from None


def _keep(key: str, options: list[str]) -> None:
    """Forget a choice that is not offered here."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]
