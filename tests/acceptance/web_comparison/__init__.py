"""Web packages against the other ways to run a model in a page: `python -m tests.acceptance.web_comparison`.

The same models, the same page, one after another in turns: edgeship's small and fast path, `@tensorflow/tfjs` with the
files of its official converter, ONNX Runtime Web, and LiteRT.js, each as its own guide says.
"""
