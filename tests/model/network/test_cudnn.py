"""What is traced where Keras sees a GPU. Operations are counted, not run: that needs no GPU."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture, SequenceAutoencoder

CUDNN = {"CudnnRNNV3", "CudnnRNNBackpropV3"}


@pytest.fixture
def trace_gradient():
    """Traces the gradient of a model's errors and counts its operations by name."""

    def trace(model, *signature):
        variables = [variable.value for variable in model.trainable_variables]

        @tf.function(autograph=False)
        def gradient(sequence, length=None):
            with tf.GradientTape() as tape:
                error = model.analyze(sequence, length, training=True)["error"]
            return tape.gradient(error, variables)

        return count(gradient.get_concrete_function(*signature).graph.as_graph_def())

    def count(graph):
        bodies = [graph.node, *(function.node_def for function in graph.library.function)]
        return collections.Counter(node.op for body in bodies for node in body)

    return trace


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("given", [1, 2], ids=["exact", "with lengths"])
def test_every_layer_is_traced_to_cudnn(seen_gpu, trace_gradient, cell, precision, given):
    options = {"cell": cell, "bidirectional": True, "dropout": 0.1, "layers": 2}
    architecture = Architecture(latent_size=4, units=8, **options)
    model = SequenceAutoencoder(3, architecture, dtype=precision)
    signature = tf.TensorSpec((None, None, 3)), tf.TensorSpec((None,), tf.int64)
    counts = trace_gradient(model, *signature[:given])
    # Two layers in two directions in the encoder, two in one in the decoder.
    assert {op: n for op, n in counts.items() if op in CUDNN} == dict.fromkeys(CUDNN, 6)
    assert not {op for op in counts if op.endswith("While") or "BlockLSTM" in op}


@pytest.mark.parametrize(("cell", "units"), [("lstm", 8), ("lstm", 66), ("gru", 8)])
def test_saved_model_written_beside_a_gpu_runs_on_a_cpu(
    seen_gpu, save_model, tmp_path, cell, units
):
    architecture = Architecture(latent_size=4, units=units, cell=cell, bidirectional=True)
    model = SequenceAutoencoder(3, architecture)
    sequence = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    save_model(model, tmp_path)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    length = np.array([5, 2])
    served = loaded.serve(sequence, length)
    # Untraced, Keras falls back to its loop where it is rejected cuDNN.
    for name, expected in model.analyze(sequence, length).items():
        np.testing.assert_allclose(served[name], expected, rtol=1e-5, atol=1e-6)
