"""ONNX models in onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest

from padless.model import Calibration
from padless.model.onnx_export.build import build_onnx


@pytest.fixture(scope="session")
def calibration():
    rng = np.random.default_rng(0)
    return Calibration("validation", rng.integers(2, 8, 200), np.exp(rng.normal(size=200)))


@pytest.fixture(scope="session")
def run_onnx():
    """Runs an ONNX model, of a file or in memory, on sequences and lengths: output -> array."""

    def run(model, sequence, length):
        if isinstance(model, onnx.ModelProto):
            onnx.checker.check_model(model, full_check=True)
            model = model.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what it fails with is raised
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        given = {"sequence": np.asarray(sequence), "length": np.asarray(length, np.int64)}
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, given), strict=True))

    return run


@pytest.fixture(scope="session")
def exported(calibration, run_onnx):
    """Runs a model as ONNX and as itself on the same rows: two dicts, output -> array."""

    def run(model, sequence, length):
        received = run_onnx(build_onnx(model, calibration), sequence, length)
        expected = {name: np.asarray(v) for name, v in model.analyze(sequence, length).items()}
        return received, expected

    return run
