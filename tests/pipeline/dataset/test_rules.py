"""The rules that a dataset was made by, read from its provenance."""

import pytest

from padless.pipeline.dataset.provenance import Made, encode_provenance
from padless.pipeline.dataset.rules import SequenceRules, read_rules, read_train_labels


@pytest.fixture
def write_rules(tmp_path):
    """Writes the provenance of a job with these rules, and returns its directory."""

    def write(**rules):
        made = Made("0.1.0", 0, None, (), None, "hash", rules, None)
        (tmp_path / "provenance.json").write_bytes(encode_provenance(made, {}, {}))
        return tmp_path

    return write


def test_the_labels_of_the_training_split_are_read(write_rules):
    assert read_train_labels(write_rules(train_labels=["a", "b"])) == ("a", "b")
    assert read_train_labels(write_rules(train_labels=None)) is None
    assert read_train_labels(write_rules()) is None


def test_a_dataset_that_no_job_made_has_no_rules(tmp_path):
    assert read_train_labels(tmp_path) is None
    assert read_rules(tmp_path) is None


def test_rules_of_sequences_are_read(write_rules):
    directory = write_rules(missing="mask", train_labels=["a"])
    assert read_rules(directory) == SequenceRules(missing="mask")


@pytest.mark.parametrize("labels", ["a", [1], {"a": 1}])
def test_labels_of_another_type_are_rejected(write_rules, labels):
    directory = write_rules(train_labels=labels)
    message = r"provenance\.json: the rule `train_labels` must be a list of strings"
    with pytest.raises(ValueError, match=message):
        read_train_labels(directory)
