"""A trained model as an ONNX graph, for runtimes that know neither TensorFlow nor padless."""
