"""The reader of ONNX files reads what onnx reads, and refuses other files before onnxruntime."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import SwitchboardError
from device.model.bundled import BUNDLED_MODEL
from device.model.contract import ModelCard, check_tensors
from device.model.onnx_reader import read_onnx_file
from tests.support import malicious_models


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


def test_it_reads_a_card_and_its_tensors(tiny_model):
    file = read_onnx_file(tiny_model)
    check_tensors(ModelCard.from_metadata(file.metadata), file.tensors)


def is_refused(data, path):
    """Whether the reader refuses these bytes; any other error fails the test."""
    path.write_bytes(data)
    try:
        file = read_onnx_file(path)
        check_tensors(ModelCard.from_metadata(file.metadata), file.tensors)
    except SwitchboardError:
        return True
    return False


def test_a_file_that_breaks_off_anywhere_is_refused(tiny_model, tmp_path):
    content = tiny_model.read_bytes()
    path = tmp_path / "m"
    assert not is_refused(content, path)
    accepted = [n for n in range(0, len(content), 37) if not is_refused(content[:n], path)]
    assert accepted == []


@settings(max_examples=300)
@given(data=st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(tiny_model, tmp_path_factory, data):
    content = bytearray(tiny_model.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    is_refused(bytes(content), tmp_path_factory.getbasetemp() / "changed")


def test_control_characters_in_an_operators_name_are_printed_escaped(tmp_path):
    model = malicious_models.whole()
    model.graph.node[-1].op_type = "Lo\x1b[2Jg\n"
    path = malicious_models.write(model, tmp_path / "m")
    with pytest.raises(SwitchboardError) as caught:
        read_onnx_file(path)
    assert str(caught.value).isprintable()
