"""What operations are called in TFLite, ONNX, TensorFlow and Keras, in one set of words."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Word -> the names of the formats, in lower case and without digits, underscores and endings like V2.
_NAMES: Mapping[str, str] = {
    "conv": "conv convd fusedconvd qlinearconv convinteger fusedconv nhwcconv",
    "depthwise": "depthwiseconvd depthwiseconvdnative fuseddepthwiseconvdnative",
    "transpose_conv": "transposeconv convtranspose convdtranspose convdbackpropinput",
    "separable": "separableconvd",
    "dense": "fullyconnected gemm dense fusedmatmul qgemm matmulnbits fusedgemm",
    "matmul": "matmul batchmatmul matmulinteger qlinearmatmul dot einsum einsumdense",
    "recurrent": "unidirectionalsequencelstm bidirectionalsequencelstm unidirectionalsequencernn "
    "bidirectionalsequencernn lstm gru rnn simplernn bidirectional svdf",
    "attention": "multiheadattention attention additiveattention groupqueryattention",
    "max_pool": "maxpool maxpoold globalmaxpool globalmaxpoolingd maxpoolingd",
    "average_pool": "averagepoold averagepool averagepoolingd avgpool avgpoold globalaveragepool "
    "globalaveragepoolingd qlinearglobalaveragepool mean reducemean",
    "normalization": "batchnormalization fusedbatchnorm layernormalization groupnormalization instancenormalization "
    "normalization lnormalization rmsnormalization unitnormalization",
    "add": "add addn biasadd sum",
    "subtract": "sub subtract",
    "multiply": "mul multiply rescaling",
    "divide": "div realdiv divnonan",
    "maximum": "maximum max",
    "minimum": "minimum min",
    "relu": "relu reluto relunto clip leakyrelu prelu elu selu gelu hardswish hardsilu threshold",
    "activation": "activation sigmoid logistic tanh hardsigmoid softplus softsign swish silu erf exp",
    "softmax": "softmax logsoftmax",
    "concatenate": "concatenation concat concatenate",
    "reshape": "reshape flatten squeeze expanddims unsqueeze repeatvector",
    "transpose": "transpose permute",
    "pad": "pad padv mirrorpad zeropaddingd",
    "slice": "slice stridedslice gathernd split splitv unpack pack croppingd",
    "gather": "gather embeddinglookup embedding resourcegather",
    "resize": "resizebilinear resizenearestneighbor resize upsample upsamplingd",
    "quantize": "quantize quantizelinear dynamicquantizelinear fakequant fakequantwithminmaxvars "
    "fakequantwithminmaxvarsperchannel",
    "dequantize": "dequantize dequantizelinear cast",
    "identity": "identity dropout gaussiannoise gaussiandropout spatialdropoutd activityregularization",
    "input": "placeholder inputlayer",
    "control": "while if loop scan case callonce call statelesswhile statelessif partitionedcall "
    "statefulpartitionedcall stablehlocomposite",
}
_KINDS: Mapping[str, str] = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of(op_type: str) -> str:
    """The word for an operation of any format, `other` where there is none."""
    name = re.sub(r"V\d+$", "", op_type)
    return _KINDS.get(re.sub(r"[^a-z]", "", name.lower()), "other")
