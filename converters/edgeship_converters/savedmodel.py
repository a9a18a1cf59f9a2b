"""SavedModels for servers (TensorFlow Serving, TensorFlow's own `saved_model.load`): one file, the same every time.

What TensorFlow writes itself differs from run to run: a random fingerprint, numbers of functions, the order of nodes,
shards of variables. Here the frozen graph, which is canonical, is the model: its weights are constants in it, so that
`saved_model.pb` is all there is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import UnsupportedModelError
from edgeship.names import unique
from edgeship.report.layers import graph_layers
from edgeship.types import Artifact, ConvertOptions, Source
from edgeship_converters.describe import describe, versions
from edgeship_converters.flatfile import SIGNATURE
from edgeship_converters.graph.frozen import FrozenGraph, freeze

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

FILE = "saved_model.pb"
_FLOAT16_MAX = 65504.0
#: Fewer values are not worth a cast.
_MIN_VALUES = 32
_MAX_BYTES = 2**31 - 1


class SavedModelConverter:
    """Writes `saved_model.pb`: signature `serving_default`, a dynamic batch axis, weights as constants."""

    format = "savedmodel"
    #: TensorFlow computes in float32 in both; float16 says how weights are stored.
    variants = ("float32", "float16")
    equivalents: Mapping[str, str] = {}
    #: For servers; made only for those who ask for it.
    on_request = True
    #: Kinds of sources beside those that TensorFlow makes a graph of.
    files = ("tflite",)
    why_not_more = "TensorFlow computes a SavedModel in float32"

    def missing(self) -> Sequence[str]:
        """Packages to install first; looks, imports nothing."""
        return [name for name in ("tensorflow", "keras") if importlib.util.find_spec(name) is None]

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write `saved_model.pb` (see `edgeship.contracts.Converter`).

        Raises:
            UnsupportedModelError: larger than the 2 GiB of one message.
        """
        from edgeship_converters.lowering.rules import SAVEDMODEL, lowered  # loads NumPy
        from edgeship_converters.usage import add_collections

        frozen = lowered(freeze(source, static_batch=None, fake_quant=False), SAVEDMODEL)
        if variant == "float16":
            frozen = replace(frozen, graph_def=_halved(frozen.graph_def))
        message = saved_model(frozen)
        add_collections(message, options)
        if message.ByteSize() > _MAX_BYTES:
            raise UnsupportedModelError(f"savedmodel/{variant}: the model is larger than 2 GiB")
        (out_dir / FILE).write_bytes(message.SerializeToString(deterministic=True))
        specs = (frozen.inputs, frozen.outputs)
        made_by = versions("tensorflow", "keras", "numpy")
        made = describe(out_dir, (self.format, variant), [FILE], specs, source, options, made_by)
        return replace(made, layers=graph_layers(frozen.graph_def))


def saved_model(frozen: FrozenGraph) -> SavedModel:
    """A frozen graph as a SavedModel whose signature points at its tensors, which keep their names."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = tf.__version__
    meta.graph_def.CopyFrom(frozen.graph_def)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = "tensorflow/serving/predict"
    for specs, tensors, ends in (
        (frozen.inputs, frozen.input_tensors, signature.inputs),
        (frozen.outputs, frozen.output_tensors, signature.outputs),
    ):
        for spec, tensor in zip(specs, tensors, strict=True):
            ends[spec.name].name = tensor
            ends[spec.name].dtype = tf.dtypes.as_dtype(spec.dtype).as_datatype_enum
            for size in spec.shape:
                ends[spec.name].tensor_shape.dim.add(size=-1 if size is None else size)
    return saved


def _halved(graph_def: GraphDef) -> GraphDef:
    """The graph with its weights in half precision, cast back before they are used."""
    result = type(graph_def)()
    result.CopyFrom(graph_def)
    for cast, constant in _stored(result.node):
        cast.input.append(constant.name)
        result.node.append(constant)
    for function in result.library.function:
        stored = _stored(function.node_def)
        # In a function a tensor goes by the name of the result too: `output` of a constant, `y` of a cast.
        renamed = {f"{cast.name}:output:0": f"{cast.name}:y:0" for cast, _ in stored}
        for node in function.node_def:
            node.input[:] = [renamed.get(tensor, tensor) for tensor in node.input]
        for name, tensor in function.ret.items():
            function.ret[name] = renamed.get(tensor, tensor)
        for cast, constant in stored:
            cast.input.append(f"{constant.name}:output:0")
            function.node_def.append(constant)
    return result


def _stored(nodes: Iterable[NodeDef]) -> list[tuple[NodeDef, NodeDef]]:
    """Turn weights among the nodes into casts; these, and for each the constant that it is to read.

    Numbers that float16 cannot hold, such as those of a mask, stay float32.
    """
    import numpy as np
    import tensorflow as tf

    nodes = list(nodes)
    taken = {node.name for node in nodes}
    found = []
    for node in nodes:
        if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
            continue
        values: Any = tf.make_ndarray(node.attr["value"].tensor)
        if values.size < _MIN_VALUES or np.abs(values).max() > _FLOAT16_MAX:
            continue
        stored = type(node)(name=unique(f"{node.name}/float16", taken), op="Const")
        stored.attr["dtype"].type = tf.float16.as_datatype_enum
        stored.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float16)))
        node.op = "Cast"
        node.attr.clear()
        node.attr["SrcT"].type, node.attr["DstT"].type = tf.float16.as_datatype_enum, tf.float32.as_datatype_enum
        node.attr["Truncate"].b = False
        found.append((node, stored))
    return found
