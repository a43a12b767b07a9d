"""`RaggedLSTM` and `RaggedGRU` against Keras' own layers, which get each sequence alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cudnn_formulas import cudnn_by_formulas

from padless.model import RaggedGRU, RaggedLSTM
from padless.pipeline import PackedSequences

LENGTHS = [2, 5, 1, 3, 3]
LAYERS = {"lstm": (RaggedLSTM, keras.layers.LSTM), "gru": (RaggedGRU, keras.layers.GRU)}
CELLS = pytest.mark.parametrize("cell", LAYERS)


def draw_rows(lengths=LENGTHS, num_features=3, seed=0, **options):
    values = np.random.default_rng(seed).normal(size=(sum(lengths), num_features))
    return tf.RaggedTensor.from_row_lengths(values.astype(np.float32), lengths, **options)


def make_pair(cell, num_features=3, wrap=lambda layer: layer, **options):
    """Makes a ragged layer and one of Keras' with the same weights."""
    keras.utils.set_random_seed(0)
    layer, reference = (wrap(kind(4, **options)) for kind in LAYERS[cell])
    for made in (layer, reference):
        made.build((None, None, num_features))
    layer.set_weights(reference.get_weights())
    return layer, reference


def results_of(layer, sequences, **options):
    """Returns output and states as a list."""
    results = layer(sequences, **options)
    return list(results) if isinstance(results, tuple) else [results]


def run_alone(layer, rows, states=None):
    """Runs each row alone: of each result a list of those of all rows."""
    results = []
    for number, row in enumerate(rows):
        start = None if states is None else [state[number : number + 1] for state in states]
        results.append([result[0] for result in results_of(layer, row[None], initial_state=start)])
    return list(zip(*results, strict=True))


def assert_rows_close(received, expected, tolerance=1e-5):
    for result, rows in zip(received, expected, strict=True):
        assert result.shape[0] == len(rows)
        for number, row in enumerate(rows):
            np.testing.assert_allclose(result[number], row, rtol=tolerance, atol=tolerance)


def gradients_of(run, layer, rows):
    with tf.GradientTape() as tape:
        tape.watch(rows.values)
        outputs = run(rows)
        loss = tf.add_n([tf.reduce_sum(tf.math.sin(output)) for output in outputs])
    return tape.gradient(loss, [rows.values, *(v.value for v in layer.trainable_variables)])


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@CELLS
def test_rows_give_what_each_gives_alone(cell, return_sequences, go_backwards):
    options = {"return_sequences": return_sequences, "go_backwards": go_backwards}
    layer, reference = make_pair(cell, **options)
    rows = draw_rows()
    assert_rows_close([layer(rows)], run_alone(reference, rows))
    received = gradients_of(lambda rows: [getattr(layer(rows), "values", layer(rows))], layer, rows)
    expected = gradients_of(lambda rows: run_alone(reference, rows)[0], reference, rows)
    for gradient, value in zip(received, expected, strict=True):
        assert np.linalg.norm(gradient - value) <= 1e-5 * np.linalg.norm(value)


@pytest.mark.parametrize("go_backwards", [False, True])
@CELLS
def test_states_are_those_of_the_rows(cell, go_backwards):
    options = {"return_sequences": True, "return_state": True, "go_backwards": go_backwards}
    layer, reference = make_pair(cell, **options)
    rows, rng = draw_rows(), np.random.default_rng(1)
    states = [tf.constant(rng.normal(size=(len(LENGTHS), 4)).astype("f")) for _ in layer.state_size]
    received = results_of(layer, rows, initial_state=states)
    assert len(received) == 1 + len(states)
    assert_rows_close(received, run_alone(reference, rows, states))


@CELLS
def test_packed_sequences_give_what_ragged_ones_give(cell):
    layer, _ = make_pair(cell, return_sequences=True, return_state=True)
    rows = draw_rows()
    packed, order = PackedSequences.of(rows)
    outputs, *states = layer(packed)
    assert isinstance(outputs, PackedSequences)
    expected, *expected_states = layer(rows)
    np.testing.assert_allclose(outputs.to_ragged(order).values, expected.values, rtol=1e-6)
    for state, value in zip(states, expected_states, strict=True):
        np.testing.assert_allclose(state, tf.gather(value, order), rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@CELLS
def test_dense_sequences_give_what_keras_gives(cell, go_backwards, training):
    options = {"return_sequences": True, "return_state": True, "dropout": 0.5, "seed": 3}
    layer, reference = make_pair(cell, go_backwards=go_backwards, **options)
    sequences = draw_rows([4, 4]).to_tensor()
    received = results_of(layer, sequences, training=training)
    assert_rows_close(received, results_of(reference, sequences, training=training))


@CELLS
def test_dropout_drops_what_keras_drops_of_each_row(cell):
    layer, reference = make_pair(cell, return_sequences=True, dropout=0.5, seed=3)
    rows = draw_rows([1, 4, 6])
    dropped = layer(rows, training=True)
    padded = reference(rows.to_tensor(), training=True)
    expected = [row[:length] for row, length in zip(padded, (1, 4, 6), strict=True)]
    assert_rows_close([dropped], [expected])
    assert np.abs(dropped.values - layer(rows).values).max() > 1e-2
    np.testing.assert_array_equal(layer(rows).values, layer(rows).values)


def test_outputs_keep_the_row_splits_of_the_input():
    rows = draw_rows().with_row_splits_dtype(tf.int32)
    outputs = RaggedLSTM(3, return_sequences=True)(rows)
    assert outputs.row_splits is rows.row_splits
    assert (outputs + rows).shape == (len(LENGTHS), None, 3)


@pytest.mark.parametrize("training", [False, True])
@CELLS
def test_a_batch_without_rows_gives_no_output(cell, training):
    layer, _ = make_pair(cell, return_sequences=True, return_state=True, dropout=0.5)
    for run in (layer, tf.function(layer)):
        outputs, *states = run(draw_rows([]), training=training)
        assert outputs.values.shape == (0, 4)
        assert {tuple(state.shape) for state in states} == {(0, 4)}


@pytest.mark.parametrize("options", [{"use_bias": False}, {"activation": "relu"}, {"units": 65}])
@CELLS
def test_other_options_are_those_of_keras(cell, options):
    kind, of_keras = LAYERS[cell]
    options = {"units": 4, "return_state": True} | options
    layer, reference = kind(**options), of_keras(**options)
    for made in (layer, reference):
        made.build((None, None, 3))
    layer.set_weights(reference.get_weights())
    rows = draw_rows([2, 3])
    assert_rows_close(layer(rows), run_alone(reference, rows))


@CELLS
def test_regularizers_and_constraints_reach_the_weights(cell):
    layer, reference = make_pair(cell, kernel_regularizer="l2", bias_constraint="non_neg")
    assert float(layer.losses[0]) == pytest.approx(float(reference.losses[0]))
    constraints = [variable.constraint for variable in layer.trainable_variables]
    assert [type(constraint) for constraint in constraints] == [
        type(variable.constraint) for variable in reference.trainable_variables
    ]


@pytest.mark.parametrize("return_sequences", [False, True])
@CELLS
def test_keras_makes_it_bidirectional(cell, return_sequences):
    options = {"return_sequences": return_sequences, "wrap": keras.layers.Bidirectional}
    layer, reference = make_pair(cell, **options)
    rows = draw_rows()
    assert_rows_close([layer(rows)], run_alone(reference, rows))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@CELLS
def test_mixed_precision_computes_in_halves(cell, precision):
    layer, _ = make_pair(cell, return_sequences=True, return_state=True, dtype=precision)
    whole, _ = make_pair(cell, return_sequences=True, return_state=True)
    rows = draw_rows()
    outputs, *states = layer(rows)
    dtypes = {result.dtype.name for result in (outputs, *states)}
    assert dtypes == {precision.removeprefix("mixed_")}
    assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}
    np.testing.assert_allclose(
        tf.cast(outputs.values, tf.float32), whole(rows)[0].values, rtol=0.05, atol=0.02
    )


@CELLS
def test_one_trace_of_two_layers_serves_all_lengths(cell):
    kind, _ = LAYERS[cell]
    model = keras.Sequential([kind(4, return_sequences=True, go_backwards=True), kind(5)])
    model(draw_rows())  # makes the weights

    @tf.function(input_signature=[tf.RaggedTensorSpec((None, None, 3), tf.float32, 1)])
    def run(rows):
        return model(rows)

    for lengths in (LENGTHS, [1], [2, 2], [7, 8]):
        rows = draw_rows(lengths)
        np.testing.assert_allclose(run(rows), model(rows), rtol=1e-5, atol=1e-6)
    assert run.experimental_get_tracing_count() == 1


@CELLS
def test_config_and_that_of_keras_make_the_layer_again(cell):
    kind, of_keras = LAYERS[cell]
    options = {"go_backwards": True, "dropout": 0.25, "recurrent_initializer": "zeros", "seed": 1}
    layer = kind(4, use_cudnn=False, dtype="mixed_bfloat16", **options)
    config = layer.get_config()
    again = kind.from_config(config)
    assert again.get_config() == config
    assert again.layer.use_cudnn is False
    reference = of_keras(4, name="encoder", **options).get_config()
    config = kind.from_config(reference).get_config()
    assert {name: config[name] for name in reference} == reference


@pytest.fixture
def classifier():
    """A functional model of stacked layers, compiled."""
    keras.utils.set_random_seed(0)
    sequences = keras.Input((None, 3), ragged=True, name="sequences")
    outputs = RaggedLSTM(6, return_sequences=True, name="first")(sequences)
    assert outputs.ragged
    vector = keras.layers.Bidirectional(RaggedLSTM(5), name="both")(outputs)
    model = keras.Model(sequences, keras.layers.Dense(2, activation="softmax")(vector))
    model.compile(
        keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", weighted_metrics=["acc"]
    )
    return model


def draw_batches(count=48, batch_size=8):
    """Draws rows that rise or fall, of 1 to 8 timesteps, as ragged batches: x, y and weight."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    slopes = (2 * labels - 1)[:, None, None] * np.linspace(0.5, 1, 8)[:, None]
    lengths = rng.integers(1, 9, count)
    noise = rng.normal(scale=0.1, size=(count, 8, 3))
    rows = [row[:length] for row, length in zip(slopes + noise, lengths, strict=True)]
    examples = list(zip(rows, labels, np.linspace(0.5, 1.5, count), strict=True))
    signature = tf.TensorSpec((None, 3)), tf.TensorSpec((), tf.int64), tf.TensorSpec(())
    dataset = tf.data.Dataset.from_generator(lambda: examples, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).ragged_batch(batch_size)


def test_a_functional_model_is_compiled_and_fitted(classifier, tmp_path, capsys):
    batches = draw_batches()
    calls, call = [], classifier.call
    classifier.call = lambda *args, **options: calls.append(1) or call(*args, **options)
    history = classifier.fit(batches, epochs=8, shuffle=False, verbose=0).history
    assert len(calls) <= 2  # one call makes the metrics, and one trace serves all lengths
    assert classifier.jit_compile is False
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    _, accuracy = classifier.evaluate(batches, verbose=0)
    assert accuracy > 0.95
    predicted = classifier.predict(batches, verbose=0)
    rows = [row for batch, *_ in batches for row in batch]
    for number in (0, 11, 47):
        alone = classifier(rows[number][None])[0]
        np.testing.assert_allclose(predicted[number], alone, rtol=1e-4, atol=1e-5)
    classifier.summary()
    assert "first (RaggedLSTM)" in capsys.readouterr().out
    classifier.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(batches, verbose=0), predicted, rtol=1e-6)


def test_a_model_of_packed_sequences_is_fitted_with_an_output_per_timestep(tmp_path):
    packed = PackedSequences(
        keras.Input((3,), name="values"), keras.Input((), dtype="int32", name="length")
    )
    values, _ = RaggedGRU(4, return_sequences=True)(packed)
    model = keras.Model(packed, keras.layers.Dense(1)(values))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    sequences, _ = PackedSequences.of(draw_rows())
    batches = tf.data.Dataset.from_tensors((sequences, sequences.values[:, :1])).repeat(30)
    losses = [model.fit(batches, shuffle=False, verbose=0).history["loss"][0] for _ in range(2)]
    assert losses[1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    # Keras saves the pair as a list.
    np.testing.assert_allclose(loaded(list(sequences)), model(sequences), rtol=1e-6)


@CELLS
def test_rows_give_the_same_by_the_call_of_cudnn(cell):
    options = {"return_sequences": True, "return_state": True, "go_backwards": True}
    layer, reference = make_pair(cell, **options)
    rows = draw_rows()
    expected = run_alone(reference, rows)
    with cudnn_by_formulas():
        assert_rows_close(layer(rows), expected)


@CELLS
def test_a_gpu_runs_cudnn_once(cell, seen_gpu):
    layer, _ = make_pair(cell, dropout=0.5)
    run = tf.function(layer, autograph=False)
    graph = run.get_concrete_function(draw_rows(), training=True).graph.as_graph_def()
    inner = [node.op for function in graph.library.function for node in function.node_def]
    assert [node.op for node in graph.node].count("CudnnRNNV3") + inner.count("CudnnRNNV3") == 1
    assert "BlockLSTM" not in inner


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("stateful", True, "pass the states"),
        ("unroll", True, "known only when the layer runs"),
        ("recurrent_dropout", 0.1, "use `dropout`"),
        ("activity_regularizer", "l2", "dense outputs only"),
        ("use_cudnn", True, "depends on the device"),
        ("implementation", 1, "how inputs are dropped"),
        ("zero_output_for_mask", True, "no mask"),
    ],
)
@CELLS
def test_options_without_effect_are_rejected(cell, option, value, remedy):
    with pytest.raises(ValueError, match=f"`{option}` must be .*{remedy}"):
        LAYERS[cell][0](4, **{option: value})


def test_unknown_options_are_rejected():
    with pytest.raises(ValueError, match="return_sequence"):
        RaggedLSTM(4, return_sequence=True)


VALUES = tf.ones((6, 3))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (tf.ones((2, 3)), r"shape \(batch, timesteps, features\), got \(2, 3\)"),
        (tf.ones((2, 4, 5, 3)), r"shape \(batch, timesteps, features\)"),
        (tf.RaggedTensor.from_row_lengths(tf.ones(3), [1, 2]), r"shape \(batch, timesteps, feat"),
        (
            tf.ragged.constant([[[1.0, 2.0]], [[3.0, 4.0]]]),
            "`tf.ragged.constant` with `ragged_rank=1`",
        ),
        (tf.ones((2, 4, 3), tf.int32), "floating-point numbers, got <dtype: 'int32'>"),
        (draw_rows() > 0, "floating-point numbers"),
        (tf.cast(draw_rows(), tf.int64), "floating-point numbers"),
        (PackedSequences(tf.ones(6), tf.constant([3, 3])), r"got the shapes \(6,\) and \(2,\)"),
        (PackedSequences(VALUES, tf.constant([[3, 3]])), r"got the shapes \(6, 3\) and \(1, 2\)"),
        (PackedSequences(VALUES, tf.constant([3.0, 3.0])), "Lengths must be integers"),
    ],
)
def test_sequences_of_another_form_are_rejected(sequences, message):
    layer, _ = make_pair("gru")
    for made in (layer, RaggedGRU(4)):
        with pytest.raises(ValueError, match=message):
            made(sequences)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (draw_rows([2, 0, 1]), "at least one timestep"),
        (PackedSequences(VALUES, tf.constant([6, 0])), "at least one timestep"),
        (PackedSequences(VALUES, tf.constant([3, 2])), "add up to the number of values"),
        (PackedSequences(VALUES, tf.constant([4, 3])), "add up to the number of values"),
        (PackedSequences(VALUES, tf.constant([2, 4])), "sorted by falling length"),
    ],
)
@pytest.mark.parametrize("in_graph", [False, True])
def test_lengths_that_cannot_be_are_rejected(sequences, message, in_graph):
    layer, _ = make_pair("lstm")
    run = tf.function(layer) if in_graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run(sequences)


def test_a_mask_is_rejected():
    layer, _ = make_pair("lstm")
    with pytest.raises(ValueError, match=r"takes no mask.*RaggedTensor\.from_tensor"):
        layer(keras.layers.Masking()(tf.ones((2, 4, 3))))


def test_states_of_another_number_are_rejected():
    layer, _ = make_pair("lstm")
    with pytest.raises(ValueError, match="must hold 2 tensors, got 1"):
        layer(draw_rows(), initial_state=[tf.zeros((5, 4))])


def test_the_number_of_features_must_be_known():
    with pytest.raises(ValueError, match="number of features, the last dimension, must be known"):
        RaggedLSTM(4)(keras.Input((None, None), ragged=True))


def test_keras_takes_no_ragged_sequences():
    """As the documentation says; if Keras learns it, both are to be changed."""
    with pytest.raises(ValueError, match="Cannot index into an inner ragged dimension"):
        keras.layers.LSTM(4)(draw_rows())
