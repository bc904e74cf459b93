"""A probe tells the truth about the model, changes nothing in it, and survives the disk."""

import json

import numpy as np
import pytest
import torch

import lab
import strawberry
from lab import gather
from lab.archive import ProbeError
from lab.measure import weights
from lab.probe import MEASURES

FAMILIES = list(strawberry.families())


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_of_everything(probes, family):
    probe = probes[family]
    length, config = probe.tokens, probe.config
    assert length == len(probe.ids) == len(probe.pieces) == 70
    assert probe.loss.shape == (69,)
    made = config["weights"] == "retention"
    assert probe.frames == (probe.loops + 1 if made else 0)
    assert probe.chunks == (5 if family == "strawberry" else int(made))
    for layer in range(probe.layers):
        for loop in range(probe.loops):
            assert probe.map(layer, loop).shape == (length, length)
        for projection in probe.projections:
            for name in MEASURES:
                assert probe.measure(name, layer, projection).shape == (probe.frames, probe.chunks)
            rows, columns = probe.shape(projection)
            assert probe.spectrum(layer, projection).shape == (probe.frames, min(rows, columns))
            assert probe.picture(layer, projection, 0).shape == tuple(len(n) for n in probe.picture_grid(projection))
    for layer, kind in probe.routers:
        experts = len(config["windows"]) if kind == "attention" else config["n_experts"]
        assert probe.gates(layer, 0, kind).shape == probe.probs(layer, 0, kind).shape == (length, experts)
        assert len(probe.expert_names(layer, kind)) == experts


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_rebuild_the_mixers_own_output(probes, family):
    probe = probes[family]
    for layer in range(probe.layers):
        for loop in range(probe.loops):
            largest, relative = probe.reconstruction(layer, loop)
            assert relative < 1e-5
            assert largest < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_causal_and_averages_sum_to_one(probes, family):
    probe = probes[family]
    for layer in range(probe.layers):
        for index in (None, 0, probe.map_count(layer) - 1):
            weights_of = probe.map(layer, 0, index)
            if probe.averages(layer):
                np.testing.assert_allclose(weights_of.sum(-1), 1, atol=1e-5)
            assert not np.triu(weights_of, 1).any()
        each = probe.maps(layer, 0, list(range(probe.map_count(layer))))
        np.testing.assert_allclose(each.mean(0), probe.map(layer, 0), atol=1e-6)


def test_map_agrees_with_the_model_but_for_half_precision(probe):
    model = strawberry.build(strawberry.Config.from_dict(probe.config))
    with strawberry.Trace.of(model, ["*.q", "*.k"]) as trace, torch.no_grad():
        model(torch.from_numpy(probe.ids).long()[None])
    for layer in range(probe.layers):
        q, k = trace[f"layers.{layer}.q"][1], trace[f"layers.{layer}.k"][1]
        expected = model.layers[layer].mixer.map(q, k, channels=[3])[0, 0]
        np.testing.assert_allclose(probe.map(layer, 1, 3), expected.numpy(), atol=5e-3)


def test_measures_and_pictures_are_those_of_the_weights(probe):
    model = strawberry.build(strawberry.Config.from_dict(probe.config))
    with strawberry.Trace.of(model, "*retention.w_*") as trace, torch.no_grad():
        model(torch.from_numpy(probe.ids).long()[None])
    for which in ("current", "transformed"):
        frames = trace[f"layers.1.retention.w_{which}.swiglu"]
        for r, frame in enumerate(frames):
            last = frame[0, -1]
            assert probe.measure("rms", 1, "swiglu", which=which)[r, -1] == pytest.approx(float(weights.rms(last)))
            np.testing.assert_allclose(
                probe.spectrum(1, "swiglu", which=which)[r], torch.linalg.svdvals(last), rtol=1e-3, atol=1e-4
            )
            rows, columns = (torch.from_numpy(n).long() for n in probe.picture_grid("swiglu"))
            entries = last[rows][:, columns]
            picture = probe.picture(1, "swiglu", r, which=which)
            np.testing.assert_allclose(picture, entries, atol=float(entries.abs().max()) / 250)


def test_the_first_chunk_owes_nothing_to_the_text(probe, tokenizer, text):
    share = probe.measure("input_share", 0, "qkv")
    assert not share[:, 0].any()
    assert not share[0].any()
    assert (share[1:, 1:] > 0).all()
    model = strawberry.build(strawberry.Config.from_dict(probe.config))
    other = lab.probe(model, tokenizer, text[::-1], max_tokens=70)
    np.testing.assert_array_equal(probe.picture(0, "qkv", 2, chunk=0), other.picture(0, "qkv", 2, chunk=0))
    assert (probe.picture(0, "qkv", 2, chunk=-1) != other.picture(0, "qkv", 2, chunk=-1)).any()


def test_input_share_of_the_controls(probes):
    assert not probes["strawberry-static"].measure("input_share", 0, "qkv").any()
    leaky = probes["strawberry-leaky"].measure("input_share", 0, "qkv")
    assert leaky[0] == 0
    assert np.isnan(leaky[1:]).all()


def test_watching_changes_nothing(tokenizer, text):
    model = strawberry.build(strawberry.preset("strawberry-pico")).train()
    tokens = torch.arange(40)[None]
    before = model(tokens).detach()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    lab.probe(model, tokenizer, text)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert torch.equal(model(tokens).detach(), before)
    assert not any(tap.live for tap in strawberry.tap.taps(model).values())


def test_gates_choose_top_k_and_sum_to_one(probe):
    for layer, kind in probe.routers:
        gates = probe.gates(layer, 1, kind)
        assert ((gates > 0).sum(-1) == 2).all()
        np.testing.assert_allclose(gates.sum(-1), 1, atol=2e-3)


def test_loss_and_predictions(probe):
    assert probe.loss.mean() == pytest.approx(np.log(512), rel=0.2)
    likeliest = probe.predictions(3)
    assert len(likeliest) == 5
    chances = [chance for _, chance in likeliest]
    assert chances == sorted(chances, reverse=True)


def test_saved_and_loaded_is_the_same(probe, tmp_path):
    loaded = lab.Probe.load(probe.save(tmp_path / "probes" / "step-7.npz"))
    assert loaded.meta == probe.meta
    assert loaded.arrays.keys() == probe.arrays.keys()
    for name, values in probe.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], values)
        assert loaded.arrays[name].dtype == values.dtype
    assert [file.name for file in (tmp_path / "probes").iterdir()] == ["step-7.npz"]
    assert json.loads(json.dumps(loaded.meta)) == loaded.meta


@pytest.mark.slow
def test_a_nano_probe_is_smaller_than_a_megabyte(tokenizer, text, tmp_path):
    model = strawberry.build(strawberry.preset("strawberry-nano"))
    path = lab.probe(model, tokenizer, text * 3).save(tmp_path / "probe.npz")
    assert path.stat().st_size < 1_000_000


def test_damaged_missing_and_foreign_files_are_named(probe, tmp_path):
    path = probe.save(tmp_path / "probe.npz")
    whole = path.read_bytes()
    with pytest.raises(ProbeError, match=r"no probe at .*absent"):
        lab.Probe.load(tmp_path / "absent.npz")
    for damaged in (b"", b"hello", whole[: len(whole) // 2], whole[:4000] + bytes(200) + whole[4200:]):
        path.write_bytes(damaged)
        with pytest.raises(ProbeError, match="damaged"):
            lab.Probe.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ProbeError, match="damaged"):
        lab.Probe.load(path)


def test_questions_without_an_answer_get_one_sentence(probes, tokenizer):
    probe, gpt = probes["strawberry"], probes["gpt"]
    for question, answer in (
        (lambda: probe.picture(0, "qkv", 0, chunk=1), "choose one of"),
        (lambda: probe.measure("size", 0, "qkv"), "the measures are"),
        (lambda: gpt.picture(0, "qkv", 0), "makes no weights"),
        (lambda: probe.gates(0, 0, "attention"), "the routers are"),
        (lambda: probe.map(0, 0, 9999), "channels 0 to"),
        (lambda: lab.probe(None, tokenizer, "x"), "at least two"),
    ):
        with pytest.raises(ProbeError, match=answer):
            question()


def test_a_model_with_one_short_chunk_and_odd_sizes(tokenizer, text):
    config = strawberry.preset(
        "strawberry-pico", loops=3, n_layers=3, mixer="abundance,aft,softmax", n_experts=1, top_k=1
    )
    probe = lab.probe(strawberry.build(config), tokenizer, text, max_tokens=5)
    assert probe.chunks == 1
    assert probe.kept_chunks == [0]
    assert [probe.map_axis(layer) for layer in range(3)] == ["head", "channel", "head"]
    assert probe.routers == [(0, "attention")]
    assert not probe.measure("input_share", 0, "qkv").any()


def test_grid_keeps_all_of_a_small_axis_and_spreads_over_a_large_one():
    assert gather.grid(5).tolist() == [0, 1, 2, 3, 4]
    spread = gather.grid(1000)
    assert len(spread) == gather.PICTURE
    assert spread[0] == 0
    assert spread[-1] == 999


def test_a_few_maps_are_kept_and_cannot_be_written_into(probe: lab.Probe) -> None:
    first = probe.map(0, 0)
    assert probe.map(-probe.layers, 0) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 2.0
    for index in range(6):
        probe.map(0, 0, index)
    again = probe.map(0, 0)
    assert again is not first
    np.testing.assert_array_equal(again, first)
