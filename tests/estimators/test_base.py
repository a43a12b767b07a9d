"""Parameters, and how estimators go with the rest of scikit-learn."""

import dataclasses
import importlib
import os
import pickle
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from padless.beam_jobs import Columns, Rules
from padless.estimators import SequenceAnomalyDetector, SequenceEncoder
from padless.model import Architecture, TrainingOptions

BOTH = [SequenceEncoder, SequenceAnomalyDetector]
# What has another name, is found out, or goes with pieces, labels or rejects, which there are none.
NOT_PARAMETERS = {
    *("seed", "masks_missing", "time_order"),
    *("stride", "labels", "train_labels", "max_rejects"),
}


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "padless.estimators")
    with pytest.raises(ImportError, match=r"pip install 'padless\[sklearn\]'"):
        importlib.import_module("padless.estimators")


@pytest.mark.parametrize("kind", BOTH)
def test_defaults_are_those_of_the_options(kind):
    parameters = kind().get_params()
    options = (Architecture(), TrainingOptions(), Rules())
    fields = {
        field.name: getattr(one, field.name) for one in options for field in dataclasses.fields(one)
    }
    assert fields.keys() >= NOT_PARAMETERS
    for name in fields.keys() - NOT_PARAMETERS:
        assert parameters.pop(name) == fields[name]
    assert parameters.pop("random_state") == TrainingOptions().seed
    assert (parameters.pop("key"), parameters.pop("time")) == (Columns().key, Columns().time)
    left = {"features", "validation_fraction", "directory", "verbose"}
    assert parameters.keys() == left | ({"contamination", "level"} & {*dir(kind)})


@pytest.mark.parametrize("kind", BOTH)
def test_parameters_are_set_and_cloned(kind):
    estimator = kind(latent_size=3).set_params(units=5, random_state=7)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert repr(copy) == f"{kind.__name__}(latent_size=3, random_state=7, units=5)"
    with pytest.raises(TypeError, match="unit_size"):
        kind(unit_size=3)
    with pytest.raises(TypeError, match="positional"):
        kind("a")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_size": 0}, "`latent_size` must be at least 1, got 0"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"cell": "rnn"}, "`cell` must be one of .*got 'rnn'"),
        ({"too_long": "split"}, "`too_long` must be one of .*truncate.*got 'split'"),
        ({"min_length": 3, "max_length": 2}, "`max_length` must be at least `min_length`"),
        ({"missing": "zero"}, "`missing` must be one of"),
        ({"validation_fraction": 1}, "`validation_fraction` must be at least 0 and below 1, got 1"),
        ({"random_state": -1}, "Seed must be between 0 and"),
        ({"random_state": "a"}, "'a' cannot be used to seed"),
        ({"batch_size": 3, "batch_timesteps": 4}, "batch_size"),
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_fit_names_a_parameter_out_of_its_range(kind, parameters, message, waves):
    with pytest.raises(ValueError, match=message):
        kind(**parameters).fit(waves)


@pytest.mark.parametrize("kind", BOTH)
def test_too_few_sequences_are_named_before_any_work(kind, waves):
    with pytest.raises(ValueError, match=r"n_samples = 1\. Give more, or set it to 0"):
        kind(validation_fraction=0.999).fit(waves[:1])


@pytest.mark.parametrize("kind", BOTH)
def test_methods_need_a_fit(kind, waves, tmp_path):
    names = ("transform", "score_samples", "p_values", "decision_function", "predict")
    for name in (*names, "timestep_errors"):
        if hasattr(kind, name):
            with pytest.raises(NotFittedError, match=kind.__name__):
                getattr(kind(), name)(waves)
    with pytest.raises(NotFittedError, match=kind.__name__):
        kind().save(tmp_path / "x")


@pytest.mark.parametrize("name", ["encoder", "detector"])
def test_other_widths_are_named(name, request, waves):
    estimator = request.getfixturevalue(name)
    method = "transform" if name == "encoder" else "predict"
    assert estimator.n_features_in_ == 2
    message = f"2 features per timestep, as many as {type(estimator).__name__} was fitted to, got 1"
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)([wave[:, :1] for wave in waves])


@pytest.mark.parametrize("dump", [pickle.dumps, joblib.hash])
def test_a_fitted_estimator_is_pickled(dump, encoder):
    assert dump(encoder) == dump(pickle.loads(pickle.dumps(encoder)))


def test_pickles_of_joblib_give_the_same_in_another_process(encoder, waves, tmp_path):
    joblib.dump(encoder, tmp_path / "encoder")
    joblib.dump(waves, tmp_path / "waves")
    code = """
        import sys, joblib, numpy as np
        encoder, waves = map(joblib.load, sys.argv[1:3])
        print(sorted({"apache_beam"} & sys.modules.keys()))
        np.save(sys.argv[3], encoder.transform(waves))
        print(sorted({"apache_beam"} & sys.modules.keys()))
    """
    files = [str(tmp_path / name) for name in ("encoder", "waves", "found.npy")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *files],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n[]\n"
    np.testing.assert_array_equal(np.load(files[2]), encoder.transform(waves))


@pytest.mark.slow
def test_a_grid_search_over_a_pipeline(waves, small):
    pipeline = make_pipeline(SequenceEncoder(**small), LogisticRegression())
    labels = np.arange(len(waves)) % 2
    grid = {"sequenceencoder__latent_size": np.arange(2, 4)}
    search = GridSearchCV(pipeline, grid, cv=2).fit(waves, labels)
    assert search.best_params_["sequenceencoder__latent_size"] in (2, 3)
    assert search.predict(waves).shape == (len(waves),)
