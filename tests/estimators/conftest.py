"""Sequences that one small encoder and one small detector are fitted to."""

import tempfile

import numpy as np
import pandas as pd
import pytest

from padless.estimators import SequenceAnomalyDetector, SequenceEncoder

SMALL = {"units": 2, "latent_size": 2, "epochs": 1, "batch_size": 16}


@pytest.fixture(scope="session")
def waves():
    """Sixty noisy float64 waves of 4 to 12 timesteps with 2 features."""
    rng = np.random.default_rng(3)
    return [
        np.sin(np.arange(length)[:, None] / 2 + rng.uniform(0, 6, 2))
        + rng.normal(0, 0.1, (length, 2))
        for length in rng.integers(4, 13, 60)
    ]


@pytest.fixture(scope="session")
def small():
    """Parameters of a model that is trained in seconds."""
    return SMALL


@pytest.fixture(scope="session")
def frame(waves):
    """The same as rows of a frame, mixed but for the first of each key; the keys are positions."""
    rows = [(i, t, *row) for i, wave in enumerate(waves) for t, row in enumerate(wave)]
    frame = pd.DataFrame(rows, columns=["run", "t", "x", "y"])
    firsts = frame["t"] == 0
    return pd.concat([frame[firsts], frame[~firsts].sample(frac=1, random_state=0)])


@pytest.fixture(scope="session")
def encoder(frame, tmp_path_factory):
    """An encoder that was fitted to the frame, and keeps its fit in `directory`."""
    directory = tmp_path_factory.mktemp("kept") / "fit"
    return SequenceEncoder(**SMALL, key="run", time="t", directory=directory).fit(frame)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    """The folder for temporary files while the detector is fitted."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def detector(waves, scratch):
    """A detector that was fitted to the arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        return SequenceAnomalyDetector(**SMALL).fit(waves)
