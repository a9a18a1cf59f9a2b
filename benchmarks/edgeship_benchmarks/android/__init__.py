"""What measuring on Android devices takes: their state, and the benchmark_model of TensorFlow Lite / LiteRT."""
