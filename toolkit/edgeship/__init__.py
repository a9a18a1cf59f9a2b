"""edgeship: takes a trained Keras model to where it runs."""
