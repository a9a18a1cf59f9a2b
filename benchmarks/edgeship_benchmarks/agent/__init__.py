"""The measuring agent: the only code that feeds LiteRT and ONNX Runtime, on this machine and on a device.

A program of its own, `python -m edgeship_benchmarks.agent`. It imports nothing of edgeship but itself, so that it can
be packed into one file (`edgeship_benchmarks.packing`), copied to a Raspberry Pi and started there: Python 3.9 or
newer, NumPy and one runtime. It never imports TensorFlow. Callers speak the original model's units: real numbers go in
and come out; a quantized tensor is quantized and dequantized here.

- `protocol`: requests and answers, a line each, and the loop that answers.
- `operations`: what can be asked for, one method each.
- `litert`, `edgetpu`, `onnx`: the runtimes. Other agents (`tflm_agent`, `tensorflow_agent`) add one.
- `tensors`: names, shapes and quantization at a model's edge.
- `arrays`: NumPy, which a bare board may lack, and the files that arrays travel in.
- `facts`, `energy`: what the machine says of itself, and what its meters count.
"""
