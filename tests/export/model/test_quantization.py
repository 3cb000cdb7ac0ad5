"""int8 is used only where it is inaudible and faster than float32."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from device.model.network import Network
from export.commands.export import export
from export.model import model_file
from export.model.benchmark import Speed
from export.model.graph import DRAWN, nodes_behind, weights
from export.model.model_file import export_run
from export.model.parity import ExportError, TracedGraph, parity_inputs
from export.model.quantization import Distance, check_faster, compare, spectral_distance_db, to_int8
from tests.support.tiny_run import CONFIG

GOOD = Distance(n_states=8, n_other_scores=0, mean_db=0.1, largest_db=0.5, outliers=0.0)
FAST, SLOW = Speed(1.0, 1.0, frame_ms=0.01), Speed(1.0, 1.0, frame_ms=0.02)


@pytest.fixture(scope="module")
def rounded(trace):
    return to_int8(trace)


@pytest.fixture
def speeds(monkeypatch, trace):
    """Replaces the measured speeds, and reuses the shared trace."""
    measured = [SLOW, FAST]
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    monkeypatch.setattr(model_file, "measure_speed", lambda networks: measured[: len(networks)])
    return measured


# -- rounding -------------------------------------------------------------------------------


def test_every_product_of_the_render_half_is_rounded_and_none_of_the_compose_half(trace, rounded):
    n_products = sum(n.op_type == "Gemm" for n in nodes_behind(trace.graph, *DRAWN))
    drawing = nodes_behind(rounded.graph, *DRAWN)
    assert sum(node.op_type == "MatMulInteger" for node in drawing) == n_products
    composing = nodes_behind(rounded.graph, "score")
    assert not any(node.op_type == "MatMulInteger" for node in composing)


def test_rounding_leaves_the_graph_it_was_given_alone(trace):
    before = trace.SerializeToString()
    to_int8(trace)
    assert trace.SerializeToString() == before


def test_rounded_weights_are_about_a_quarter_as_large(trace, rounded):
    before, after = (weights(m.graph, *DRAWN) for m in (trace, rounded))
    # Of a network this small what stays float32 is a good part: scales, biases, the phase advance.
    assert after.n_bytes < 0.65 * before.n_bytes


def test_only_plain_operators_are_used(rounded):
    assert {node.domain for node in rounded.graph.node} == {""}
    assert [opset.domain for opset in rounded.opset_import] == [""]


def test_the_digits_are_the_same_to_the_last_one(trace, rounded):
    before, after = TracedGraph(trace), TracedGraph(rounded)
    for each in parity_inputs(CONFIG.n_switches, CONFIG.n_variation, 16):
        for one, other in zip(
            before.compose(each.switches, each.variation),
            after.compose(each.switches, each.variation),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


# -- how far it is --------------------------------------------------------------------------


def distance(a, b, silence=0.1):
    a, b = (np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b))
    return spectral_distance_db(a, b, silence=silence)


def test_the_distance_of_a_frame_from_itself_is_zero():
    frames = np.random.default_rng(1).uniform(0, 9, (5, 129))
    assert not distance(frames, frames).any()


@pytest.mark.parametrize("n_db", [-3.0, 0.5, 6.0])
def test_a_frame_that_is_louder_throughout_is_that_many_decibels_away(n_db):
    frames = np.random.default_rng(1).uniform(1, 9, (5, 129))
    np.testing.assert_allclose(distance(frames, frames * 10 ** (n_db / 20)), abs(n_db), rtol=1e-4)


def test_what_is_masked_by_the_loudest_bin_does_not_count():
    assert distance([1e4, 1.0], [1e4, 9.0]) == 0
    assert distance([1e3, 1.0], [1e3, 9.0]) > 10


def test_what_is_below_silence_does_not_count():
    assert distance([0.01, 0.02], [0.09, 0.0]) == 0
    assert distance([0.0, 0.0], [0.0, 0.0]) == 0
    assert distance([0.0, 0.0], [0.2, 0.0]) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_other_scores": 1}, "other digits in 1 of 8 states, expected the same in all"),
        ({"mean_db": 1.2}, "a mean log-spectral distance of 1.20 dB, expected at most 1 dB"),
        ({"mean_db": np.nan}, "a mean log-spectral distance of nan dB, expected at most 1 dB"),
        ({"largest_db": 4.5}, "a largest log-spectral distance of 4.50 dB, expected at most 4 dB"),
        ({"mean_advance": 0.2}, "phase advances 0.20 apart on average, expected at most 0.1"),
        ({"outliers": 0.03}, "3.0% of the frames more than 2 dB away, expected at most 2%"),
    ],
)
def test_an_audible_difference_is_refused_with_its_figure(change, message):
    text = f"^int8: found {message}; no file was written: export with"
    with pytest.raises(ExportError, match=text):
        replace(GOOD, **change).check()


def test_an_inaudible_difference_is_accepted():
    GOOD.check()


@pytest.mark.parametrize("rounded", [SLOW, replace(FAST, frame_ms=float("nan"))])
def test_int8_that_is_not_faster_is_refused_with_both_figures(rounded):
    with pytest.raises(ExportError, match=r"int8: found \S+ ms a frame, expected less than the 0"):
        check_faster(rounded, SLOW)


# -- the file -------------------------------------------------------------------------------


def test_a_rounded_file_opens_on_the_device_and_records_its_distance(
    run, speeds, tmp_path, exported
):
    path = tmp_path / "int8.onnx"
    done = export_run(run, path, title="Tiny", rounded=True)
    network = Network.open(path)
    provenance = network.card.provenance
    assert provenance["int8"] == vars(done.distance)
    assert provenance["int8"]["n_other_scores"] == 0
    assert provenance["parity"] == vars(done.parity)
    assert (done.speed, done.plain_speed) == (FAST, SLOW)
    assert path.stat().st_size < exported.path.stat().st_size
    assert compare(exported.network, network) == done.distance
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_a_rounded_network_that_is_not_faster_leaves_no_file(run, speeds, tmp_path):
    speeds.reverse()
    with pytest.raises(ExportError, match=r"int8: found 0\.0200 ms a frame, expected less"):
        export_run(run, tmp_path / "int8.onnx", title="Tiny", rounded=True)
    assert list(tmp_path.iterdir()) == []


def test_a_rounded_network_that_is_audible_leaves_no_file(run, speeds, tmp_path, monkeypatch):
    monkeypatch.setattr("export.model.quantization.MOST_MEAN_DB", 0.0)
    with pytest.raises(ExportError, match="int8: found a mean log-spectral distance of 0"):
        export_run(run, tmp_path / "int8.onnx", title="Tiny", rounded=True)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_distance_and_the_speed_of_int8(
    run_directory, speeds, tmp_path, capfd
):
    out = tmp_path / "int8.onnx"
    result = CliRunner().invoke(
        export, [str(run_directory), "--out", str(out), "--quantize", "int8"]
    )
    assert result.exit_code == 0, result.output
    assert "int8          0." in result.output
    assert "a frame took 0.0200 ms" in result.output
    assert "a frame 0.0100 ms" in result.output
    assert capfd.readouterr().err == ""
