"""The reader of ONNX files sees what onnx sees, and refuses before onnxruntime has to."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import SwitchboardError
from device.model.contract import ModelCard, check_tensors
from device.model.network import BUNDLED_MODEL
from device.model.onnx_reader import read_onnx_file
from tests.support import malicious_models as hostile


def shape_of(value):
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in value.type.tensor_type.shape.dim
    )


def n_nodes(graph):
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return len(graph.node) + sum(map(n_nodes, inner))


@pytest.mark.parametrize("bundled", [False, True])
def test_it_reads_what_onnx_reads(tiny_model, bundled):
    path = BUNDLED_MODEL if bundled else tiny_model
    model, file = onnx.load(path), read_onnx_file(path)
    assert file.metadata == {entry.key: entry.value for entry in model.metadata_props}
    values = [*model.graph.input, *model.graph.output]
    assert [(t.name, t.shape) for t in file.tensors] == [(v.name, shape_of(v)) for v in values]
    assert {t.dtype for t in file.tensors} == {"float32"}
    assert file.n_nodes == n_nodes(model.graph)


def test_what_it_reads_is_a_card_and_its_tensors(tiny_model):
    file = read_onnx_file(tiny_model)
    check_tensors(ModelCard.from_metadata(file.metadata), file.tensors)


def refused(data, path):
    """Whether the reader refuses these bytes; nothing else than a refusal may come of them."""
    path.write_bytes(data)
    try:
        file = read_onnx_file(path)
        check_tensors(ModelCard.from_metadata(file.metadata), file.tensors)
    except SwitchboardError:
        return True
    return False


def test_a_file_that_breaks_off_anywhere_is_refused(tiny_model, tmp_path):
    whole = tiny_model.read_bytes()
    assert not refused(whole, tmp_path / "m")
    kept = [n for n in range(0, len(whole), 37) if not refused(whole[:n], tmp_path / "m")]
    assert kept == []


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_changed_it_reads_or_refuses(tiny_model, tmp_path_factory, data):
    content = bytearray(tiny_model.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    refused(bytes(content), tmp_path_factory.getbasetemp() / "changed")


def test_an_operator_with_a_name_that_moves_the_cursor_is_shown_as_text(tmp_path):
    model = hostile.whole()
    model.graph.node[-1].op_type = "Lo\x1b[2Jg\n"
    path = hostile.write(model, tmp_path / "m")
    with pytest.raises(SwitchboardError) as caught:
        read_onnx_file(path)
    assert str(caught.value).isprintable()
