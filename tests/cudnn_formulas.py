"""cuDNN's recurrent operation by the formulas of its manual, as no CPU has a kernel for it."""

import contextlib

import pytest
import tensorflow as tf


@contextlib.contextmanager
def cudnn_by_formulas():
    """Lets padless see a GPU, whose recurrent operation the CPU computes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.config, "get_visible_devices", lambda kind=None: [f"{kind}:0"])
        patch.setattr(tf.raw_ops, "CudnnRNNV3", run_formulas)
        yield


def run_formulas(
    *, input, input_h, input_c, params, sequence_lengths, rnn_mode, is_training, time_major
):
    """Computes what `tf.raw_ops.CudnnRNNV3` does of one layer in one direction.

    https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-adv-library.html
    """
    assert (is_training, time_major) == (True, False), "other calls are not written here"
    rows, timesteps, features = input.shape
    units = input_h.shape[-1]
    assert min(timesteps, rows) > 0, "cuDNN rejects an empty rectangle"
    assert (sequence_lengths.shape, sequence_lengths.dtype) == ((rows,), tf.int32)
    assert 1 <= min(sequence_lengths) <= max(sequence_lengths) <= timesteps
    gates = {"lstm": 4, "gru": 3}[rnn_mode] * units
    sizes = [gates * features, gates * units, gates, gates]
    kernel, recurrent, input_bias, recurrent_bias = tf.split(params, sizes)
    kernel = tf.reshape(kernel, (gates, features))
    recurrent = tf.reshape(recurrent, (gates, units))
    after = {"lstm": _lstm, "gru": _gru}[rnn_mode]
    states = [input_h[:, 0], *([input_c[:, 0]] if rnn_mode == "lstm" else [])]
    outputs = []
    for time in range(timesteps):
        of_input = tf.matmul(input[:, time], kernel, transpose_b=True) + input_bias
        of_hidden = tf.matmul(states[0], recurrent, transpose_b=True) + recurrent_bias
        goes_on = (time < sequence_lengths)[:, None]
        new = after(of_input, of_hidden, *states)
        states = [tf.where(goes_on, n, old) for n, old in zip(new, states, strict=True)]
        outputs.append(tf.where(goes_on, new[0], tf.zeros_like(new[0])))
    ends = [state[:, None] for state in states]
    return tf.stack(outputs, axis=1), ends[0], ends[-1], None, None


def _lstm(of_input, of_hidden, hidden, cell):
    enter, forget, new, leave = tf.split(of_input + of_hidden, 4, -1)
    cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(new)
    return tf.sigmoid(leave) * tf.tanh(cell), cell


def _gru(of_input, of_hidden, hidden):
    pairs = zip(tf.split(of_input, 3, -1), tf.split(of_hidden, 3, -1), strict=True)
    (reset_in, reset_hidden), (keep_in, keep_hidden), (new_in, new_hidden) = pairs
    keep = tf.sigmoid(keep_in + keep_hidden)
    new = tf.tanh(new_in + tf.sigmoid(reset_in + reset_hidden) * new_hidden)
    return ((1 - keep) * new + keep * hidden,)
