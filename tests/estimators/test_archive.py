"""The files of fitted estimators, by those who trust nobody."""

import json
import pathlib
import random
import sys
import zipfile

import numpy as np
import pytest

from padless.estimators import SequenceAnomalyDetector, SequenceEncoder

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from edits import answer_to, edit_bytes


@pytest.fixture
def saved(detector, tmp_path):
    detector.save(tmp_path / "detector.zip")
    return tmp_path / "detector.zip"


@pytest.fixture
def rewrite(saved):
    """Changes the description in the file, or another member."""

    def change(edit, member="estimator.json", **options):
        with zipfile.ZipFile(saved) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members[member] = edit(members[member])
        with zipfile.ZipFile(saved, "w", **options) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return saved

    return change


def described(**changes):
    return lambda data: json.dumps(json.loads(data) | changes).encode()


def test_a_loaded_detector_gives_the_same(detector, saved, waves):
    loaded = SequenceAnomalyDetector.load(saved)
    assert loaded.get_params() == detector.get_params()
    for method in ("score_samples", "p_values", "decision_function", "predict"):
        np.testing.assert_array_equal(
            getattr(loaded, method)(waves), getattr(detector, method)(waves)
        )
    assert (loaded.offset_, loaded.threshold_) == (detector.offset_, detector.threshold_)
    assert loaded.n_features_in_ == detector.n_features_in_


def test_a_loaded_encoder_gives_the_same(encoder, waves, tmp_path):
    encoder.save(tmp_path / "encoder")
    loaded = SequenceEncoder.load(str(tmp_path / "encoder"))
    np.testing.assert_array_equal(loaded.transform(waves), encoder.transform(waves))


def test_a_file_that_cannot_be_written_is_named(encoder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        encoder.save(tmp_path / "nowhere" / "encoder")
    with pytest.raises(IsADirectoryError, match="`path` must be a file"):
        encoder.save(tmp_path)


def test_parameters_are_written_as_json_has_them(encoder, tmp_path):
    changed = encoder.get_params() | {
        "units": np.int64(2),
        "features": ("x", "y"),
        "directory": tmp_path,
        "random_state": np.random.RandomState(0),
    }
    copy = SequenceEncoder(**changed)
    copy.__dict__ |= {"_trained": encoder._trained, "n_features_in_": 2}
    copy.save(tmp_path / "copy")
    loaded = SequenceEncoder.load(tmp_path / "copy")
    assert (loaded.units, loaded.features, loaded.directory) == (2, ["x", "y"], None)
    assert loaded.random_state == 0


def test_a_file_of_another_class_is_named(saved):
    with pytest.raises(
        ValueError, match=r"detector.zip.*must be a SequenceEncoder, got a Sequence"
    ):
        SequenceEncoder.load(saved)


def test_a_file_that_is_missing_or_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        SequenceEncoder.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match="text must be a file that the method `save`"):
        SequenceEncoder.load(tmp_path / "text")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda data: b"{", "must be a file"),
        (lambda data: b"[]", "must hold an object with the keys"),
        (described(more=1), "must hold an object with the keys"),
        (described(parameters={"no": 1}), "unexpected keyword argument 'no'"),
        (described(parameters=[1]), "must be a file"),
        (described(learned={}), "offset"),
        (described(learned={"offset": "x", "threshold": 1, "has_level": False}), "must be a file"),
    ],
)
def test_an_edited_description_is_named(rewrite, edit, message):
    with pytest.raises(ValueError, match=rf"detector.zip.*{message}"):
        SequenceAnomalyDetector.load(rewrite(edit))


def test_members_that_are_compressed_or_not_of_ours_are_rejected(rewrite, saved):
    with pytest.raises(ValueError, match="must not be compressed"):
        SequenceAnomalyDetector.load(rewrite(bytes, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(rewrite(bytes), "a") as archive:
        archive.writestr("../more", b"")
    with pytest.raises(ValueError, match="it must hold"):
        SequenceAnomalyDetector.load(saved)


def test_a_model_of_another_run_is_rejected(rewrite, encoder):
    with pytest.raises(ValueError, match=r"model\.keras"):
        SequenceAnomalyDetector.load(rewrite(lambda data: data[:-1], "model.keras"))


@pytest.mark.parametrize("count", [30, pytest.param(1_000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_answered_by_name(saved, count):
    before, rng = saved.read_bytes(), random.Random(0)
    for edited in (edit_bytes(before, rng) for _ in range(count)):
        saved.write_bytes(edited)
        answer = answer_to(lambda: SequenceAnomalyDetector.load(saved))
        assert answer is None or str(saved) in answer
