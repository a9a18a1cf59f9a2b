"""A trained model as one frozen TensorFlow graph: the common start of converters."""
