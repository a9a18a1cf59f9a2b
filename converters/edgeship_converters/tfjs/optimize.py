"""All rewriting passes in their order."""

from __future__ import annotations

from edgeship_converters.tfjs import kernels, linear, write
from edgeship_converters.tfjs.ir import Graph
from edgeship_converters.tfjs.read import narrow
from edgeship_converters.tfjs.rewrites import rewrite
from edgeship_converters.tfjs.simplify import simplify
from edgeship_converters.tfjs.workarounds import work_around


def optimize(graph: Graph) -> Graph:
    """Rewrite a graph that was just read into the one that is written; the given graph is used up.

    Raises UnsupportedModelError for what TF.js would not run as TensorFlow does.
    """
    simplify(graph)
    rewrite(graph)
    kernels.prepare(graph)
    linear.fold(graph)
    kernels.choose(graph)
    simplify(graph)
    work_around(graph)
    write.check(graph)
    narrow(graph)
    write.name_outputs(graph)
    write.merge_constants(graph)
    return graph
