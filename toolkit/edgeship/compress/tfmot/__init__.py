"""`backend: tfmot`: TensorFlow Model Optimization on a replay of the model in tf_keras."""
