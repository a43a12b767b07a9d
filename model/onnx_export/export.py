"""Writes the model of a run as one ONNX file."""

from __future__ import annotations

import importlib.util
import pathlib

from etils import epath

from padless.model.scoring.run import open_run
from padless.pipeline.protected import check_output_file
from padless.pipeline.written_whole import written_whole


def export_onnx(run: epath.PathLike, path: epath.PathLike) -> None:
    """Writes the model of a run as one ONNX file, whole or not at all.

    It takes and returns what the SavedModel of the run does: `sequence` `(batch, timesteps,
    features)` float32 in raw units (float64 where the dataset has offsets) and `length` `(batch,)`
    int64; the timesteps after a length may have any value. The recurrent layers are the standard
    operations `LSTM` and `GRU`, which take the lengths, and the p-values are inside.

    A model of mixed precision computes in float32 here.

    Args:
        run: directory of a finished run.
        path: the file, which ends with `.onnx`; one that exists is replaced.

    Raises:
        FileNotFoundError: if the training has not finished, or the folder of `path` is missing.
        ImportError: if onnx is not installed.
        IsADirectoryError: if `path` is a directory.
        ValueError: if the suffix is another one, `path` is inside a dataset or a training run, or
            the run is damaged.

    Example:
        >>> export_onnx("run", "model.onnx")  # doctest: +SKIP
    """
    check_onnx(path)
    from padless.model.onnx_export.build import build_onnx  # needs onnx

    opened = open_run(run)
    model = build_onnx(
        opened.model,
        opened.calibration,
        offsets=opened.config.offsets,
        feature_names=opened.config.feature_names,
    )
    with written_whole(pathlib.Path(path), shared=True) as beside:
        beside.write_bytes(model.SerializeToString())


def check_onnx(path: epath.PathLike) -> None:
    """Checks that an ONNX file can be written there, before any work is done for it.

    Raises:
        FileNotFoundError, ImportError, IsADirectoryError, ValueError: as `export_onnx`.
    """
    if pathlib.Path(path).suffix.lower() != ".onnx":
        raise ValueError(f"`onnx` must end with .onnx, got {path}.")
    check_output_file(path, "onnx")
    if importlib.util.find_spec("onnx") is None:
        raise ImportError(
            "A model in ONNX needs onnx: install it with `pip install 'padless[onnx]'`."
        )
