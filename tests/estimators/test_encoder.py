"""Embeddings as scikit-learn sees them."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from padless.estimators import SequenceEncoder


def test_there_is_a_row_for_each_sequence_in_the_order_of_the_input(encoder, waves):
    embeddings = encoder.transform(waves)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(waves), len(encoder.get_feature_names_out()))
    backwards = encoder.transform(waves[::-1])
    np.testing.assert_allclose(backwards[::-1], embeddings, rtol=1e-5, atol=1e-6)


def test_columns_are_named_after_the_class(encoder):
    assert encoder.get_feature_names_out()[:2].tolist() == ["sequenceencoder0", "sequenceencoder1"]


def test_a_frame_gives_names_and_is_read_by_them(encoder, frame, waves):
    assert encoder.feature_names_in_.tolist() == ["x", "y"]
    assert encoder.feature_names_in_.dtype == object
    expected = encoder.transform(frame)
    np.testing.assert_array_equal(encoder.transform(waves), expected)  # arrays have none
    others = frame.assign(z=1.0)[["z", "y", "x", "t", "run"]]
    np.testing.assert_array_equal(encoder.transform(others), expected)
    with pytest.raises(ValueError, match=r"`features` must name .*got 'y'. Did you mean 'Y'\?"):
        encoder.transform(frame.rename(columns={"y": "Y"}))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_every_library_gives_the_same(encoder, frame, library):
    same = library(frame.to_dict("list"))
    np.testing.assert_array_equal(encoder.transform(same), encoder.transform(frame))


def test_rows_of_a_frame_are_named_by_the_keys(encoder, frame, waves):
    embeddings = encoder.transform(waves)
    encoder = copy.copy(encoder).set_output(transform="pandas")
    named = encoder.transform(frame)
    assert named.index.tolist() == [str(i) for i in range(len(waves))]
    assert named.columns.tolist() == encoder.get_feature_names_out().tolist()
    np.testing.assert_array_equal(named, embeddings)
    assert encoder.transform(waves).index.tolist() == list(range(len(waves)))
    assert isinstance(encoder.set_output(transform="polars").transform(frame), pl.DataFrame)


@pytest.mark.slow
def test_a_pipeline_classifies_sequences(waves, small):
    labels = np.arange(len(waves)) % 2
    encoder = SequenceEncoder(**small, missing="drop_timestep")
    pipeline = make_pipeline(encoder, LogisticRegression())
    broken = [wave.copy() for wave in waves]
    broken[3][1, 0] = np.nan
    assert pipeline.fit(broken, labels).predict(broken).shape == labels.shape
