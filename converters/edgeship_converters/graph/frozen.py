"""A trained model as one frozen TensorFlow graph: the common start of every converter.

The graph has no variables, its inputs and outputs carry the names of the Source, and equal sources give equal bytes,
whatever this process has handled before.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from edgeship.errors import EdgeshipError, UnsupportedModelError
from edgeship.types import Source, TensorSpec

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

T = TypeVar("T")

_LEGAL_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_CALL_SCOPE = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
#: What the constant that took the place of a variable is called; in a SavedModel a number that changes.
_VARIABLE = re.compile(r"/ReadVariableOp(_\d+)?/resource$|(?<![^/])\d+$")
#: Loaders that give a model of layers, not a graph.
_LAYERED = ("keras", "tf_keras")
_LOOPS = frozenset({"While", "StatelessWhile"})
#: What a name or kind of an operator in a loop, or around one, has in it.
_OF_LOOPS = re.compile("while|TensorList", re.IGNORECASE)
#: Operators with an effect beside their result.
_STATE = re.compile(r"Assign\w*Variable|Scatter\w*Variable|^Resource(Scatter|Apply)|Table|PyFunc|Iterator|Queue")
#: Operators whose results are random.
_RANDOM = re.compile(r"Random|Multinomial|TruncatedNormal|StatelessSampleDistorted")
_DT_STRING = 7  # tensorflow.DataType.DT_STRING
#: What Keras prints errors in bold with.
_COLOUR = re.compile(r"\x1b\[\d*m")
#: Larger graphs are made anew for each conversion.
_MOST_REMEMBERED_BYTES = 256 << 20
#: A GraphDef is one protocol buffer message, which holds less than 2 GiB.
_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True)
class FrozenGraph:
    """A model without variables.

    Attributes:
        graph_def: nodes in topological order; control flow stays functional (While, If) with its function library.
        inputs, outputs: specs in the model's order, with the shapes of this graph.
        input_tensors, output_tensors: their tensors in the graph, `<name>:0`.
    """

    graph_def: GraphDef
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_tensors: tuple[str, ...]
    output_tensors: tuple[str, ...]

    def function(self) -> Any:
        """The graph as a TensorFlow ConcreteFunction of its inputs, in order, which returns its outputs in order."""
        import tensorflow as tf

        wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(self.graph_def, name=""), [])
        find = wrapped.graph.get_tensor_by_name
        return wrapped.prune([find(name) for name in self.input_tensors], [find(name) for name in self.output_tensors])

    def has_loops(self) -> bool:
        """Whether recurrent layers run as loops."""
        return any(node.op in _LOOPS for node in self.nodes())

    def nodes(self) -> Iterator[NodeDef]:
        """All nodes, those in the bodies of control flow too."""
        return _all_nodes(self.graph_def)


def freeze(
    source: Source,
    *,
    static_batch: int | None,
    fake_quant: bool,
    unroll: bool = False,
    prepare: Callable[[Any], Any] | None = None,
) -> FrozenGraph:
    """Freeze a trained model.

    Args:
        source: a model of any kind; the graph of a .tflite file is made by way of ONNX.
        static_batch: the batch size of the graph; None leaves a dynamic batch axis dynamic. A model whose own batch
            size is fixed keeps it.
        fake_quant: keep the fake quantization of quantization-aware training; False gives the same network in plain
            float layers, its weights on the quantization grid.
        unroll: replace the loops of recurrent layers by their steps.
        prepare: what is done to the loaded model first; it keeps inputs and outputs. Without it the graph may be one
            that is shared with other conversions of the model: nobody changes it.

    Raises:
        UnsupportedModelError: the model keeps state or tables, or its loops cannot be unrolled.
        SourceError: the model cannot be loaded.
    """
    if prepare is not None or source.code_sha256 is None:
        return _freeze(source, static_batch, fake_quant, unroll, prepare)
    frozen = _remembered(source, static_batch, fake_quant, unroll)
    if frozen.graph_def.ByteSize() > _MOST_REMEMBERED_BYTES:
        _remembered.cache_clear()
    return frozen


@functools.lru_cache(maxsize=4)
def _remembered(source: Source, static_batch: int | None, fake_quant: bool, unroll: bool) -> FrozenGraph:
    """The variants of a build start from few graphs, and loading and tracing a model takes as long as converting it."""
    return _freeze(source, static_batch, fake_quant, unroll, None)


def _freeze(
    source: Source,
    static_batch: int | None,
    fake_quant: bool,
    unroll: bool,
    prepare: Callable[[Any], Any] | None,
) -> FrozenGraph:
    _check_names(source)
    _forget_earlier_models()
    model = _loaded(source)
    if source.fake_quantized and not fake_quant:
        from edgeship.compress.quantize.aware import strip

        model = strip(model)
    if prepare is not None:
        model = prepare(model)
    if unroll:
        _unroll(model, source)
    frozen = _trace(model, source, static_batch, fake_quant=source.fake_quantized and fake_quant)
    if unroll and frozen.has_loops():
        from edgeship_converters.graph.unrolling import unrolled

        frozen = unrolled(frozen)
        _refuse_loops(frozen)
    return frozen


def _loaded(source: Source) -> Any:
    if source.kind == "tflite":
        from edgeship_converters.tflite.from_tflite import computation

        return computation(source)
    from edgeship.source import load

    return load(source)


def or_unrolled(convert: Callable[[], T], unrolled: Callable[[], T]) -> T:
    """What `convert` makes; where it stops at the loop of a recurrent layer or inside, what `unrolled` makes instead.

    Raises:
        UnsupportedModelError: neither makes anything; what `convert` said, which is nearer to the model.
    """
    try:
        return convert()
    except UnsupportedModelError as error:
        if _OF_LOOPS.search(str(error)) is not None:
            with contextlib.suppress(UnsupportedModelError):
                return unrolled()
        raise


def _check_names(source: Source) -> None:
    names = [spec.name for spec in (*source.inputs, *source.outputs)]
    for name in names:
        if not _LEGAL_NAME.fullmatch(name):
            raise UnsupportedModelError(
                f"{name!r} cannot be the name of a tensor", remedy="Use letters, digits and underscores."
            )
        if names.count(name) > 1:
            raise UnsupportedModelError(
                f"{name!r} names two inputs or outputs of {source.path.name}, which an exported file must tell apart",
                remedy="Give them different names in the model.",
            )


@functools.cache
def _spare_modules() -> None:
    """Leave what is alive now, mostly TensorFlow's modules, out of collections: each is then ten times faster."""
    gc.collect()
    gc.freeze()


def _forget_earlier_models() -> None:
    """Restart the counters that Keras takes automatic names from, and free what earlier models held."""
    _spare_modules()
    for framework in ("keras", "tf_keras"):
        if framework in sys.modules:
            sys.modules[framework].backend.clear_session()


def _trace(model: Any, source: Source, static_batch: int | None, *, fake_quant: bool) -> FrozenGraph:
    from tensorflow.python.framework import convert_to_constants

    from edgeship.source import forward
    from edgeship_converters.graph.baking import baked
    from edgeship_converters.graph.canonical import Output, canonical_graph

    inputs = tuple(_with_batch(spec, static_batch) for spec in source.inputs)
    traced = _traced(baked(forward(model, source), source, fake_quant=fake_quant), inputs, source)
    _refuse_state(traced.graph.as_graph_def())
    # convert_variables_to_constants_v2 without its last step: making a function again costs half the time.
    variables = convert_to_constants._FunctionConverterDataInEager(
        func=traced, lower_control_flow=False, aggressive_inlining=True
    )
    constants, _ = convert_to_constants._replace_variables_by_constants(converter_data=variables)
    graph_def = canonical_graph(
        _inline_compiled(constants, [tensor.name for tensor in traced.outputs]),
        {tensor.op.name: spec.name for tensor, spec in zip(traced.inputs, inputs, strict=False)},  # variables follow
        [
            Output(tensor.name, tensor.dtype.as_datatype_enum, spec.name)
            for tensor, spec in zip(traced.outputs, source.outputs, strict=True)
        ],
        _cleaner(model, source),
    )
    _refuse_randomness(graph_def)
    if graph_def.ByteSize() > _MAX_BYTES:
        raise UnsupportedModelError(f"{source.path.name} is larger than the 2 GiB that a TensorFlow graph can hold")
    outputs = tuple(
        replace(spec, shape=tuple(tensor.shape.as_list()), dtype=tensor.dtype.name)
        for spec, tensor in zip(source.outputs, traced.outputs, strict=True)
    )
    return FrozenGraph(
        graph_def, inputs, outputs, tuple(f"{i.name}:0" for i in inputs), tuple(f"{o.name}:0" for o in outputs)
    )


def _traced(call: Callable[..., list[Any]], inputs: Sequence[TensorSpec], source: Source) -> Any:
    """The ConcreteFunction of a model. Raises UnsupportedModelError where a layer cannot be part of a graph."""
    import tensorflow as tf

    function = tf.function(call, autograph=False)  # the layers bring theirs where they need it
    with _still_randomness(source):
        try:
            return function.get_concrete_function(*(tf.TensorSpec(i.shape, i.dtype, name=i.name) for i in inputs))
        except EdgeshipError:
            raise
        except Exception as error:  # layers raise what they like
            raise _untraceable(source, error) from error


def _inline_compiled(graph_def: GraphDef, outputs: Sequence[str]) -> GraphDef:
    """Inline the calls that TensorFlow has to compile, which it leaves; in Keras 3, convolutions in groups are."""
    if not any(_CALL_SCOPE.fullmatch(node.op) for node in _all_nodes(graph_def)):
        return graph_def
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer

    for holder in (*_all_nodes(graph_def), *graph_def.library.function):
        for name in ("_XlaMustCompile", "_noinline"):
            holder.attr.pop(name, None)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
        for tensor in outputs:
            tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.TRAIN_OP, graph.get_tensor_by_name(tensor).op)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.optimizers.append("function")
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _untraceable(source: Source, error: Exception) -> UnsupportedModelError:
    """Say what a layer said that cannot be part of a graph, for sizes that are not fixed for instance."""
    said = " ".join(_COLOUR.sub("", str(error)).split())
    return UnsupportedModelError(
        f"{source.path.name} cannot be computed as a graph: {said[:400]}",
        remedy="Give the model fixed input sizes, or replace the layer.",
    )


@contextlib.contextmanager
def _still_randomness(source: Source) -> Iterator[None]:
    """Have Keras 3 draw random numbers without counting on.

    Some layers of augmentation draw outside of training too, and use nothing of it then; the count would be state. What
    does depend on random numbers is refused afterwards.
    """
    if source.loader != "keras":
        yield
        return
    import keras

    generator = keras.random.SeedGenerator
    count_on = generator.next

    def stay(self: Any, ordered: bool = True) -> Any:  # noqa: ARG001 - it stands in for `SeedGenerator.next`
        return self.state.value * 1

    generator.next = stay
    try:
        yield
    finally:
        generator.next = count_on


def _refuse_randomness(graph_def: GraphDef) -> None:
    for node in _all_nodes(graph_def):
        if _RANDOM.search(node.op):
            raise UnsupportedModelError(
                f"{node.name} ({node.op}) draws random numbers, which an exported file would repeat or not have",
                remedy="Take the layer out, or make it idle outside of training.",
            )


def _with_batch(spec: TensorSpec, batch: int | None) -> TensorSpec:
    return replace(spec, shape=(batch, *spec.shape[1:])) if spec.shape and spec.shape[0] is None else spec


def _cleaner(model: Any, source: Source) -> Callable[[str], str]:
    """Takes off a node's name what tracing put there: scopes of calls, of the model, and Keras 3's scope numbers."""
    numbered = source.loader == "keras"

    def clean(name: str) -> str:
        segments = [s for s in _VARIABLE.sub("/variable", name).split("/") if s and not _CALL_SCOPE.fullmatch(s)]
        if source.loader in _LAYERED:
            segments = _layer_scopes(model, segments, numbered)[1:] or segments
        return "/".join(segments) or "node"

    return clean


def _layer_scopes(layer: Any, segments: list[str], numbered: bool) -> list[str]:
    """Replace the leading scopes by the names of the layers that opened them, from `layer` downwards.

    Keras 3 opens the scope of a layer once more for building it, so that TensorFlow numbers all that follow: layer
    `conv` computes in `conv_1` or `conv_2`, layer `conv_1` in `conv_1_1` or `conv_1_2`.
    """
    result: list[str] = []
    level = [layer]
    while level and len(result) < len(segments):
        scope = segments[len(result)]
        base = re.sub(r"_\d+$", "", scope) if numbered else scope
        opened = next((candidate for candidate in level if candidate.name == base), None)
        if opened is None:
            break
        result.append(base)
        level = list(opened._flatten_layers(recursive=False, include_self=False))
    return result + segments[len(result) :]


def _unroll(model: Any, source: Source) -> None:
    """Have every recurrent layer of a freshly loaded model write out its steps."""
    if source.loader not in _LAYERED:
        return  # its loops are part of the saved graph; those that are there are refused afterwards
    for layer in model._flatten_layers():
        if not hasattr(layer, "unroll"):
            continue
        layer.unroll = True
        if hasattr(layer, "_could_use_gpu_kernel"):
            layer._could_use_gpu_kernel = False  # tf_keras would trace a fused kernel that ignores `unroll`


def _refuse_state(graph_def: GraphDef) -> None:
    """Raise UnsupportedModelError naming a node of a traced graph that does more than compute numbers from numbers."""
    for node in _all_nodes(graph_def):
        if _STATE.search(node.op):
            raise UnsupportedModelError(
                f"{node.name} ({node.op}) keeps state, a table or Python code, which an exported file cannot hold",
                remedy="Do that step outside the model, or make the layer stateless (for an RNN: stateful=False).",
            )
        if _DT_STRING in (node.attr[key].type for key in node.attr):
            raise UnsupportedModelError(
                f"{node.name} ({node.op}) works on text, which the runtimes of exported files do not",
                remedy="Do the text processing outside the model and give it numbers.",
            )


def _all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _refuse_loops(frozen: FrozenGraph) -> None:
    for node in frozen.nodes():
        if node.op in _LOOPS:
            raise UnsupportedModelError(
                f"{node.name} is a loop that cannot be unrolled: how often it runs does not follow from the model",
                remedy="Give the model a fixed number of steps.",
            )
