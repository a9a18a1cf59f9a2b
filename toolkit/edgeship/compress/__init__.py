"""Training-time compression of Keras 3 models; each method is one file."""
