"""Every option with every form of input: it acts, or is rejected by a message that names both."""

import dataclasses
import itertools
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules, TextFormat, preprocess
from padless.beam_jobs.options import FORMS
from padless.beam_jobs.readers.form_options import ACTING
from padless.pipeline.dataset.example_proto import Example
from padless.pipeline.dataset.framing import frame_record

NUM_TIMESTEPS = 6
OTHERS = ("key2", "kind", "fold", "machine", "time2")  # columns of the table that are no numbers
LENGTH = {"max_length": 4}
LABEL = {"label": "kind"}
# Option -> its value, and what else the job has, with and without it.
OPTIONS = {
    "key": ("key2", {}),
    "time": ("time2", {}),
    "sequence": ("sequence2", {}),
    "length": ("length2", {}),
    "label": ("kind", {}),
    "split": ("fold", {}),
    "group": ("machine", {"splits": {"train": 1}, "hold_out": {"validation": 0.5}}),
    "features": (("y",), {}),
    "drop": (("x",), {}),
    "wide": (True, {}),
    "meta": (("kind", "machine"), {}),
    "static": (("machine",), {}),
    "center": ({"0": 100.0}, {}),  # by its name where it has one
    "missing": ("drop_timestep", {}),
    "time_order": ("reject", {}),
    "min_length": (7, {}),
    "max_length": (5, {}),
    "too_long": ("truncate", LENGTH),
    "stride": (2, LENGTH | {"too_long": "split"}),
    "labels": (("b",), LABEL),
    "train_labels": (("b",), LABEL),
    "max_rejects": (0, {}),
    "splits": ({"train": 1}, {}),
    "hold_out": ({"held": 0.5}, {}),
    "seed": (3, {}),
    "shard_bytes": (1, {}),
    "order": ("input", {"splits": {"train": 1}}),
    "overwrite": (True, {}),
    "keep_splits": (True, {}),
    "delimiter": (";", {}),  # which is not what the file has
    "decimal": (",", {}),
    "encoding": ("utf-16", {}),
    "comment": ("a3", {}),
    "has_header": (False, {}),
    "input_format": ("csv", {}),
}
TEXT = {field.name for field in dataclasses.fields(TextFormat)}  # may make a file unreadable
BY_NAME = {"overwrite", "input_format"}
TABLES = ("parquet", "arrow")  # of columns with types, beside CSV
NAMES = ("key", "time", "sequence", "length", "label", "split", "features")
PAIRS = list(itertools.product(OPTIONS, FORMS))
# An option that rules on sequences, whatever file they are from, is tried with two forms, each form
# with some of these options; with all forms in `make proofs`.
RULING = [option for option in OPTIONS if option not in {*ACTING, *BY_NAME}]
TRIED = {
    (option, FORMS[(2 * i + n) % len(FORMS)]) for i, option in enumerate(RULING) for n in (0, 1)
}
TRIED |= {("center", "csv"), *(("overwrite", form) for form in ("csv", "tfds"))}


def draw_record(i):
    """One sequence: values that differ everywhere, times that fall and a second time that rises."""
    rng = np.random.default_rng(i)
    values = rng.normal(size=(NUM_TIMESTEPS, 2)).astype(np.float32)
    if i == 0:
        values[2, 0] = np.nan
    return {
        "key": f"a{i}",
        "key2": f"b{i}",
        "time": list(range(NUM_TIMESTEPS, 0, -1)),
        "time2": list(range(NUM_TIMESTEPS)),
        "sequence": values,
        "sequence2": values[1:],
        "kind": "ab"[i % 2],
        "fold": "ab"[i // 2 % 2],
        "machine": str(i % 3),
    }


RECORDS = [draw_record(i) for i in range(8)]
CONSTANTS = ("key", "key2", "kind", "fold", "machine")


def write_csv(path):
    header = (*CONSTANTS, "time", "time2", "x", "y")
    lines = [",".join(header)]
    for record in RECORDS:
        constants = [record[name] for name in CONSTANTS]
        for row in zip(record["time"], record["time2"], *record["sequence"].T, strict=True):
            lines.append(",".join([*constants, *map(str, row)]))
    path.write_text("\n".join(lines) + "\n")


def write_jsonl(path):
    records = [{k: v.tolist() if "seq" in k else v for k, v in r.items()} for r in RECORDS]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_npy(path):
    np.save(path, np.stack([record["sequence"] for record in RECORDS]))


def write_npz(path):
    with path.open("wb") as file:
        np.savez(file, **{record["key"]: record["sequence"] for record in RECORDS})


def write_long(path):
    """Writes the table of `write_csv` in another form."""
    rows = [
        {name: record[name] for name in CONSTANTS} | {"time": time, "x": float(x), "y": float(y)}
        for record in RECORDS
        for time, (x, y) in zip(record["time"], record["sequence"], strict=True)
    ]
    write_table(pa.Table.from_pylist(rows), path)


def write_table(table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path)


def write_parquet(path, *, lists=False):
    names = [name for name in RECORDS[0] if not (lists and "seq" in name)]
    columns = {name: [r[name] for r in RECORDS] for name in names if "seq" not in name}
    if lists:
        for feature, name in enumerate("xy"):
            columns[name] = [record["sequence"][:, feature].tolist() for record in RECORDS]
        for name in ("key2", "kind", "fold", "machine", "time2"):
            del columns[name]
    else:
        for name in ("sequence", "sequence2"):
            columns[name] = [record[name].tolist() for record in RECORDS]
    write_table(pa.table(columns), path)


write_arrow = write_parquet


def write_tfrecord(path):
    with path.open("wb") as file:
        for record in RECORDS:
            feature = (example := Example()).features.feature
            for name in CONSTANTS:
                feature[name].bytes_list.value.append(record[name].encode())
            for name in ("time", "time2"):
                feature[name].int64_list.value.extend(record[name])
            for name in ("sequence", "sequence2"):
                feature[name].float_list.value.extend(record[name].ravel().tolist())
            feature["length"].int64_list.value.append(NUM_TIMESTEPS)
            feature["length2"].int64_list.value.append(2 * NUM_TIMESTEPS)
            feature["y"].float_list.value.extend(record["sequence"][:, 1].tolist())
            file.write(frame_record(example.SerializeToString()))


def write_ts(path):
    cases = []
    for record in RECORDS:
        dimensions = [
            ",".join(f"({t},{v})" for t, v in zip(record["time"], column, strict=True))
            for column in record["sequence"].T
        ]
        cases.append(":".join([*dimensions, record["kind"]]))
    header = "@timestamps true\n@classLabel true a b\n@data\n"
    path.write_text(header + "\n".join(cases).replace("nan", "?") + "\n")


def write_tfds(path):
    path.mkdir()
    features = {name: tfds.features.Text() for name in CONSTANTS}
    features |= {name: tfds.features.Sequence(np.int64) for name in ("time", "time2")}
    for name in ("sequence", "sequence2"):
        features[name] = tfds.features.Tensor(shape=(None, 2), dtype=np.float32)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name="runs", version=tfds.core.Version("1.0.0"), data_dir=str(path), module_name=__name__
    )
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=10)
    writer.initialize_splits(["own"])
    writer.add_examples({"own": RECORDS})
    writer.close_all()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of each form with the same sequences, and others with a list per feature."""
    folder = tmp_path_factory.mktemp("files") / "somewhere"
    folder.mkdir()
    paths = {form: folder / f"x.{form}" for form in FORMS}
    for form, path in paths.items():
        globals()[f"write_{form}"](path)
    for form in TABLES:
        write_parquet(paths.setdefault(f"lists {form}", folder / f"lists.{form}"), lists=True)
        write_long(paths.setdefault(f"long {form}", folder / f"long.{form}"))
    return paths


def path_of(files, form, option):
    if form == "tfds":
        return f"tfds:{files[form]}"
    kinds = {"features": "lists ", "drop": "lists ", "wide": "long "}
    return str(files[kinds.get(option, "") + form if form in TABLES else form])


def base_options(form, option):
    """Says which columns of the long table are features, as not all others are numbers."""
    if option == "wide" and form in ("csv", *TABLES):
        return {"drop": OTHERS if form == "csv" else OTHERS[:-1]}
    if form != "csv":
        return {}
    return {"drop": OTHERS} if option == "drop" else {"features": ("x", "y")}


def value_of(form, option, given):
    value, _ = OPTIONS[option]
    if option == "drop":
        return (*value, *given.get("drop", ()))
    return {"x": 100.0} if (form, option) == ("csv", "center") else value


def split_options(given):
    kinds = (Output, Columns, Rules, TextFormat)
    names = [{field.name for field in dataclasses.fields(kind)} for kind in kinds]
    parts = [{k: v for k, v in given.items() if k in own} for own in names]
    rest = {k: v for k, v in given.items() if not any(k in own for own in names)}
    return *parts, rest


def run(path, directory, given):
    """Runs a job; returns all that it writes and reports, or the message of its error."""
    output, columns, rules, text, rest = split_options(given)
    options = PreprocessOptions(
        inputs=(path,),
        output=Output(str(directory), **output),
        columns=Columns(**columns),
        rules=Rules(**rules),
        text=TextFormat(**text),
        **rest,
    )
    try:
        report = preprocess(options)
    except (ValueError, FileExistsError) as error:
        return str(error)
    shards = {p.name: p.read_bytes() for p in pathlib.Path(directory).glob("*tfrecord*")}
    return shards, report.rejected, report.mended, dict(report.splits), report.features


def test_every_option_is_walked():
    kinds = (Output, Columns, Rules, TextFormat, PreprocessOptions)
    fields = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert fields - {"directory", "inputs", "output", "columns", "rules", "text"} == OPTIONS.keys()
    assert ACTING.keys() <= OPTIONS.keys()
    assert set().union(*ACTING.values()) <= set(FORMS)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """Runs a job without the option in question, once for all options that share it."""
    done = {}

    def run_or_look_up(path, given):
        if (known := (path, repr(given))) not in done:
            done[known] = run(path, tmp_path_factory.mktemp("before") / "data", given)
        return done[known]

    return run_or_look_up


def tried(option, form):
    """Makes a case, which is left to the proofs where others try option and form."""
    is_rejected = "label" in OPTIONS[option][1] and form not in ACTING["label"]
    is_slow = not is_rejected and (option, form) not in TRIED
    return pytest.param(option, form, marks=[pytest.mark.slow] * is_slow)


def test_every_form_and_every_ruling_option_is_tried():
    assert {form for _, form in TRIED} == set(FORMS)
    assert {option for option, _ in TRIED} == {*RULING, "overwrite"}


@pytest.mark.parametrize(("option", "form"), [tried(*p) for p in PAIRS if p[0] in RULING])
def test_an_option_of_every_form_acts(files, run_once, tmp_path, option, form):
    given = base_options(form, option) | OPTIONS[option][1]
    value, path = value_of(form, option, given), path_of(files, form, option)
    after = run(path, tmp_path / "data", given | {option: value})
    if "label" in given and form not in ACTING["label"]:
        assert "`label` must be None" in after
        assert f"the form {form}," in after
    else:
        assert after != run_once(path, given)


@pytest.mark.parametrize(("option", "form"), [tried("overwrite", form) for form in FORMS])
def test_a_dataset_is_overwritten_if_asked_for(files, run_once, tmp_path, option, form):
    path, given = path_of(files, form, option), base_options(form, option)
    run(path, tmp_path / "data", given)
    assert "must not exist" in run(path, tmp_path / "data", given)
    assert run(path, tmp_path / "data", given | {"overwrite": True}) == run_once(path, given)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "tfds"])
def test_the_form_acts(files, run_once, tmp_path, form):
    path, given = path_of(files, form, "input_format"), base_options(form, "input_format")
    (unknown := tmp_path / "x").write_bytes(pathlib.Path(path).read_bytes())
    assert "the extension must be one of" in run(str(unknown), tmp_path / "data", given)
    after = run(str(unknown), tmp_path / "data", given | {"input_format": form})
    assert after[1:] == run_once(path, given)[1:]


def test_the_form_of_a_directory_of_tfds_acts(files, run_once, tmp_path):
    after = run(str(files["tfds"]), tmp_path / "data", {"input_format": "tfds"})
    assert after == run_once(f"tfds:{files['tfds']}", {})


@pytest.mark.parametrize(("option", "form"), [p for p in PAIRS if p[0] in ACTING])
def test_an_option_acts_or_is_rejected_by_name(files, run_once, tmp_path, option, form):
    given = base_options(form, option) | OPTIONS[option][1]
    value, path = value_of(form, option, given), path_of(files, form, option)
    after = run(path, tmp_path / "data", given | {option: value})
    if form in ACTING[option]:
        assert option in TEXT or not isinstance(after, str) or "accepted" in after, after
        assert after != run_once(path, given)
    else:
        assert f"`{option}` must be " in after
        assert f"the form {form}," in after


@pytest.mark.parametrize("form", sorted(ACTING["time"] & ACTING["sequence"]))
def test_timesteps_are_in_the_order_of_the_file_if_asked_for(files, run_once, tmp_path, form):
    path = path_of(files, form, "time_order")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    kept = run(path, tmp_path / "a" / "data", {"time_order": "file"})
    assert kept == run(path, tmp_path / "b" / "data", {"time": "time2"})
    assert kept != run_once(path, {})


@pytest.mark.parametrize("order", ["sort", "reject", "file"])
@pytest.mark.parametrize("form", sorted(ACTING["time"]))
def test_a_time_that_is_not_there_is_an_error(files, tmp_path, form, order):
    path = path_of(files, form, "time")
    given = base_options(form, "time") | {"time": "tme", "time_order": order}
    assert "Did you mean 'time" in run(path, tmp_path / "data", given)


@pytest.mark.parametrize(
    ("option", "form"),
    [(option, form) for option in NAMES for form in sorted(ACTING[option]) if form != "ts"],
)
def test_a_name_that_is_not_there_is_an_error(files, tmp_path, form, option):
    given = base_options(form, option) | {option: ("nowhere",) if option == "features" else "nil"}
    if form == "tfrecord" and option == "features":  # alone they name the values of the sequence
        given["features"] = ("y", "nowhere")
    message = run(path_of(files, form, option), tmp_path / "data", given)
    assert "'nil'" in message or "'nowhere'" in message
