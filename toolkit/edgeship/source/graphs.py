"""What the graph of a SavedModel may hold, found out without loading it.

Loading a SavedModel runs its initializers, and a graph can read and write files, open sockets and call Python. So this
is an allow-list: operations that only compute from their inputs and the model's own variables. All nodes are looked
at, not only those that a signature reaches: which functions TensorFlow runs while loading is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgeship.errors import SourceError, UnsafeModelError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Operations that compute, by their names in TensorFlow 2.21; collected from exports of Keras 2 and 3, the reference
#: models of TF.js and MLPerf Tiny, with their relatives of other types, ranks and versions.
_MATH = _words(
    "Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 "
    "Atanh BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 "
    "BesselY1 Betainc Bincount BitwiseAnd BitwiseOr BitwiseXor Bucketize Ceil ClipByValue Complex ComplexAbs Conj Cos "
    "Cosh Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount Digamma Div DivNoNan Equal Erf Erfc Erfinv "
    "EuclideanNorm Exp Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual "
    "HistogramFixedWidth Igamma Igammac Imag Inv Invert InvertPermutation IsFinite IsInf IsNan LeftShift Less "
    "LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot LogicalOr LowerBound Max Maximum Mean Min Minimum Mod "
    "Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Prod RaggedBincount Range Real RealDiv "
    "Reciprocal RightShift Rint Round Rsqrt SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd "
    "SegmentProdV2 SegmentSum SegmentSumV2 Sign Sin Sinh Spence Sqrt Square SquaredDifference Sub Sum Tan Tanh "
    "TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound "
    "Xdivy Xlog1py Xlogy Zeta"
)
_ARRAYS = _words(
    "BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast Concat ConcatOffset "
    "ConcatV2 ConjugateTranspose Const DepthToSpace Diag DiagPart DynamicPartition DynamicStitch Empty EnsureShape "
    "ExpandDims ExtractImagePatches ExtractVolumePatches Fill Gather GatherNd GatherV2 GuaranteeConst Identity "
    "IdentityN InplaceAdd InplaceSub InplaceUpdate ListDiff MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 "
    "MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad OneHot "
    "OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault "
    "PreventGradient Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd Select "
    "SelectV2 Shape ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze "
    "StopGradient StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub "
    "TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 "
    "Unpack UnravelIndex Where XlaDynamicSlice XlaDynamicUpdateSlice ZerosLike"
)
_NETWORKS = _words(
    "ApproxTopK AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2 "
    "CTCBeamSearchDecoder CTCGreedyDecoder CTCLoss CTCLossV2 Conv Conv2D Conv2DBackpropInput Conv2DBackpropInputV2 "
    "Conv3D Conv3DBackpropInput Conv3DBackpropInputV2 CudnnRNN CudnnRNNCanonicalToParams CudnnRNNCanonicalToParamsV2 "
    "CudnnRNNParamsSize CudnnRNNV2 CudnnRNNV3 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative Dequantize "
    "Dilation2D Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel "
    "FractionalAvgPool FractionalMaxPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D "
    "FusedResizeAndPadConv2D GRUBlockCell InTopK InTopKV2 IsotonicRegression L2Loss LRN LSTMBlockCell LeakyRelu "
    "LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax NthElement QuantizeAndDequantize "
    "QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeDownAndShrinkRange QuantizeV2 "
    "Relu Relu6 Requantize Selu Sigmoid Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign "
    "SparseSoftmaxCrossEntropyWithLogits TopK TopKV2"
)
_GRADIENTS = _words(
    "AvgPool3DGrad AvgPoolGrad BiasAddGrad BlockLSTMGrad BlockLSTMGradV2 Conv2DBackpropFilter Conv2DBackpropFilterV2 "
    "Conv3DBackpropFilter Conv3DBackpropFilterV2 CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 "
    "DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput EluGrad FakeQuantWithMinMaxArgsGradient "
    "FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannelGradient FusedBatchNormGrad "
    "FusedBatchNormGradV2 FusedBatchNormGradV3 GRUBlockCellGrad InvGrad LRNGrad LSTMBlockCellGrad LeakyReluGrad "
    "MaxPool3DGrad MaxPoolGrad MaxPoolGradV2 MaxPoolGradWithArgmax MirrorPadGrad ReciprocalGrad Relu6Grad ReluGrad "
    "ResizeBicubicGrad ResizeBilinearGrad ResizeNearestNeighborGrad RsqrtGrad ScaleAndTranslateGrad SeluGrad "
    "SigmoidGrad SoftplusGrad SoftsignGrad SqrtGrad StridedSliceGrad TanhGrad"
)
_IMAGES_AND_SIGNALS = _words(
    "AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation AudioMicrofrontend AudioSpectrogram "
    "CombinedNonMaxSuppression CropAndResize DrawBoundingBoxes DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2 "
    "FFT FFT2D FFT3D FFTND HSVToRGB IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND "
    "ImageProjectiveTransformV2 ImageProjectiveTransformV3 Mfcc NonMaxSuppression NonMaxSuppressionV2 "
    "NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps RFFT RFFT2D RFFT3D "
    "RFFTND RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor SampleDistortedBoundingBox "
    "SampleDistortedBoundingBoxV2 ScaleAndTranslate StatelessSampleDistortedBoundingBox"
)
_MATRICES = _words(
    "BandedTriangularSolve BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky CholeskyGrad Eig Einsum "
    "LogMatrixDeterminant Lu MatMul MatrixDeterminant MatrixExponential MatrixInverse MatrixLogarithm MatrixSolve "
    "MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Qr SelfAdjointEig SelfAdjointEigV2 SparseMatMul Svd "
    "TridiagonalMatMul TridiagonalSolve"
)
_SPARSE_AND_RAGGED = _words(
    "DenseToDenseSetOperation DenseToSparseSetOperation RaggedCross RaggedFillEmptyRows RaggedGather RaggedRange "
    "RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant SetSize SparseAdd "
    "SparseBincount SparseConcat SparseCross SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv "
    "SparseDenseCwiseMul SparseFillEmptyRows SparseReduceMax SparseReduceSum SparseReorder SparseReshape "
    "SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNWithNumSegments "
    "SparseSegmentSum SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax SparseSparseMaximum "
    "SparseSparseMinimum SparseSplit SparseTensorDenseAdd SparseTensorDenseMatMul SparseToDense "
    "SparseToSparseSetOperation"
)
_RANDOM = _words(
    "Multinomial ParameterizedTruncatedNormal RandomGamma RandomIndexShuffle RandomPoisson RandomPoissonV2 "
    "RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip StatefulRandomBinomial "
    "StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt "
    "StatefulUniformInt StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial "
    "StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter "
    "StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson "
    "StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt "
    "StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal "
    "StatelessTruncatedNormalV2 TruncatedNormal"
)
#: The model's own state: variables, tables in memory, lists. No table that is read from a file.
_STATE = _words(
    "AnonymousHashTable AnonymousMutableHashTable Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp "
    "AssignVariableOp DisableCopyOnRead EmptyTensorList HashTable HashTableV2 InitializeTable InitializeTableV2 "
    "IsVariableInitialized LookupTableExport LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImport "
    "LookupTableImportV2 LookupTableInsertV2 LookupTableSize LookupTableSizeV2 MutableDenseHashTableV2 "
    "MutableHashTable MutableHashTableV2 OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone "
    "ReadVariableOp ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterNdAdd ResourceScatterNdUpdate "
    "ResourceScatterUpdate ScatterAdd ScatterUpdate StackCloseV2 StackPopV2 StackPushV2 StackV2 TensorArrayCloseV3 "
    "TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3 TensorArrayScatterV3 "
    "TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat TensorListConcatLists "
    "TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem "
    "TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch TensorListReserve TensorListResize "
    "TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit "
    "TensorListStack VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2"
)
_CONTROL = _words(
    "Assert Case CheckNumerics CheckNumericsV2 ControlTrigger Enter Exit FakeParam If LoopCond Merge NextIteration "
    "NoOp PartitionedCall Print StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch ToBool While"
)
_TEXT = _words(
    "AsString EditDistance ReduceJoin RegexFullMatch RegexReplace StaticRegexFullMatch StaticRegexReplace "
    "StringFormat StringJoin StringLength StringLower StringNGrams StringSplit StringSplitV2 StringStrip "
    "StringToHashBucket StringToHashBucketFast StringToHashBucketStrong StringToNumber StringUpper Substr "
    "UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode UnsortedSegmentJoin"
)
ALLOWED = _MATH | _ARRAYS | _NETWORKS | _GRADIENTS | _IMAGES_AND_SIGNALS | _MATRICES
ALLOWED |= _SPARSE_AND_RAGGED | _RANDOM | _STATE | _CONTROL | _TEXT
#: Only where nothing but saving or restoring the checkpoint leads to; saving is never run here.
_SAVING = _words("MergeV2Checkpoints SaveSlices SaveV2 ShardedFilename ShardedFilespec")
_RESTORING = _words("Restore RestoreSlice RestoreV2 ShardedFilename")
#: Where PrintV2 may write (nothing: to standard error); it takes `file://...` too.
_STREAMS = (b"", b"stderr", b"stdout", b"log(info)", b"log(warning)", b"log(error)")


def check_saved_model(folder: Path, *, allow_unsafe: bool) -> None:
    """Refuse a SavedModel that is damaged, or (unless allowed) whose graph may do more than compute.

    Raises:
        SourceError, UnsafeModelError.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as error:
        raise SourceError(f"{folder.name}: saved_model.pb is damaged: {error}") from error
    if not message.meta_graphs:
        raise SourceError(f"{folder.name}: saved_model.pb holds no graph", remedy="Export the model again.")
    if not allow_unsafe:
        for meta_graph in message.meta_graphs:
            _check(folder.name, meta_graph)


def check_graph(where: str, graph_def: Any, *, allow_unsafe: bool) -> None:
    """The same for a GraphDef that stands for itself; `where` names the file. Raises UnsafeModelError."""
    from tensorflow.core.protobuf import meta_graph_pb2

    if not allow_unsafe:
        _check(where, meta_graph_pb2.MetaGraphDef(graph_def=graph_def))


def _check(where: str, meta_graph: Any) -> None:
    for node in _refused(meta_graph):
        raise UnsafeModelError(
            f"{where}: the graph holds the op {node.op} ({node.name}), which is not known to only compute; "
            "it may run code or touch files",
            remedy="Export the model without it, or, for a model that you trust: --allow-unsafe",
        )


def _refused(meta_graph: Any) -> Iterator[Any]:
    """Nodes that are not allowed where they are."""
    graph = _Graph(meta_graph)
    saver = meta_graph.saver_def
    save, restore = _name(saver.save_tensor_name), _name(saver.restore_op_name)
    others = graph.reach(graph.ends() - {save, restore} | graph.named())
    saved, restored = graph.reach({save}), graph.reach({restore})
    for place, nodes in graph.nodes.items():
        allowed = ALLOWED
        if place in saved - restored - others:
            allowed = ALLOWED | _SAVING
        elif place in restored - others:
            allowed = ALLOWED | _RESTORING
        for node in nodes:
            printed = node.op == "PrintV2" and node.attr["output_stream"].s in _STREAMS
            if node.op not in allowed and f"{node.op}()" not in graph.nodes and not printed:
                yield node


class _Graph:
    """Which nodes of a graph, and functions (written `name()`), lead to which."""

    def __init__(self, meta_graph: Any) -> None:
        self._meta_graph = meta_graph
        library = meta_graph.graph_def.library
        self.nodes: dict[str, list[Any]] = {node.name: [node] for node in meta_graph.graph_def.node}
        self.nodes |= {f"{f.signature.name}()": list(f.node_def) for f in library.function}
        self._edges = {place: set(_functions(nodes)) for place, nodes in self.nodes.items()}
        for node in meta_graph.graph_def.node:
            self._edges[node.name].update(_name(edge) for edge in node.input)
        for gradient in library.gradient:
            self._edges.setdefault(f"{gradient.function_name}()", set()).add(f"{gradient.gradient_func}()")

    def reach(self, roots: Iterable[str]) -> set[str]:
        """All that is run when the roots are."""
        found: set[str] = set()
        stack = list(roots)
        while stack:
            place = stack.pop()
            if place not in found:
                found.add(place)
                stack.extend(self._edges.get(place, ()))
        return found

    def ends(self) -> set[str]:
        """Nodes and functions that no other leads to."""
        return set(self.nodes) - set().union(*self._edges.values())

    def named(self) -> set[str]:
        """What initializers, signatures and objects name: TensorFlow may run it for itself."""
        found = {f"{name}()" for name in self._meta_graph.object_graph_def.concrete_functions}
        for signature in self._meta_graph.signature_def.values():
            found |= {_name(t.name) for t in (*signature.outputs.values(), *signature.inputs.values())}
        for collection in self._meta_graph.collection_def.values():  # initializers of TensorFlow 1
            found |= {_name(name) for name in collection.node_list.value}
        # TensorFlow may run a function in place of another that says that it implements the same.
        functions = self._meta_graph.graph_def.library.function
        return found | {f"{f.signature.name}()" for f in functions if "api_implements" in f.attr}


def _functions(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        yield f"{node.op}()"  # a function may be called as if it were an operation
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                yield f"{function.name}()"


def _name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
