"""The Coral Edge TPU: which operators of a .tflite file it runs, what a compiled file leaves to the CPU, the compiler.

`predict` reads a file: a prediction by documented rules, or an exact count if the compiler has been there already.
`compiler.compile_file` calls the user's `edgetpu_compiler`. Nothing here needs TensorFlow or a device.
"""

from edgeship.edgetpu.placement import Placement, Program, Refusal, Report
from edgeship.edgetpu.predict import compare, predict

__all__ = ["Placement", "Program", "Refusal", "Report", "compare", "predict"]
