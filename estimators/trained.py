"""A trained model in memory: the files of its run that scoring needs, as bytes.

Bytes can be copied, pickled and put into an archive, which Keras' models cannot. They are loaded as
those of a run directory are, with the same checks.
"""

from __future__ import annotations

import functools
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from padless.beam_jobs.fragments import Sequence as Accepted
from padless.estimators.sequences import encode_all
from padless.model import Inference, Run, open_run
from padless.model.run_directory.config import CONFIG_FILE
from padless.model.run_directory.layout import CALIBRATION_FILE, MODEL_FILE
from padless.model.scoring.inference import EMBEDDING, EVERYTHING, EVERYTHING_AND_TIMESTEPS
from padless.pipeline import RecordFormat
from padless.pipeline.log_filters import records_dropped

_WARNING = "triggered tf.function retracing"

FILES = (CONFIG_FILE, CALIBRATION_FILE, MODEL_FILE)


def retracing_expected() -> AbstractContextManager[None]:
    """Drops TensorFlow's warning that a function is traced often, as for several models it is."""
    return records_dropped("tensorflow", lambda record: _WARNING in str(record.msg))


class TrainedModel:
    """What a finished run has learned.

    Args:
        files: name -> content of each of `FILES`.
    """

    def __init__(self, files: Mapping[str, bytes]):
        self.files = dict(files)
        self._inferences: dict[tuple[str, ...], Inference] = {}

    @classmethod
    def of_run(cls, directory: pathlib.Path) -> TrainedModel:
        """Reads the files of a finished run."""
        return cls({name: (directory / name).read_bytes() for name in FILES})

    @functools.cached_property
    def run(self) -> Run:
        """The run, with its model and its calibration loaded.

        Raises:
            ValueError: if a file is damaged or was edited.
        """
        with tempfile.TemporaryDirectory(prefix="padless-") as folder:
            for name, data in self.files.items():
                pathlib.Path(folder, name).write_bytes(data)
            run = open_run(folder)
            run.check_finished()
        return run

    def embed(self, sequences: Sequence[Accepted]) -> np.ndarray:
        """Computes the embeddings of sequences, `(sequences, embedding_size)` float32."""
        return self._compute(sequences, EMBEDDING)["embedding"]

    def score(
        self, sequences: Sequence[Accepted], *, timesteps: bool = False
    ) -> dict[str, np.ndarray]:
        """Computes `length`, `score` and what else `Inference` does of sequences."""
        return self._compute(sequences, EVERYTHING_AND_TIMESTEPS if timesteps else EVERYTHING)

    def p_values(self, scored: Mapping[str, np.ndarray]) -> np.ndarray:
        """Computes the p-values of what `score` returns, `(sequences,)` float32."""
        found = self.run.calibration.p_values(scored["length"], scored["score"])
        return found.astype(np.float32)

    def _compute(
        self, sequences: Sequence[Accepted], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        if outputs not in self._inferences:
            self._inferences[outputs] = self.run.inference(outputs)
        record_format = RecordFormat(self.run.config.num_features)
        with retracing_expected():
            return self._inferences[outputs].compute(encode_all(sequences), record_format)

    def __getstate__(self) -> dict[str, bytes]:
        return self.files

    def __setstate__(self, files: dict[str, bytes]) -> None:
        self.__init__(files)  # type: ignore[misc]
