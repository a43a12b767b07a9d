"""The main job through the command line, on real files."""

import math
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.cli import progress
from padless.cli.main import main
from padless.cli.plan import _explain_short_epoch
from padless.model import Inference, load_model, open_run
from padless.pipeline import StepOrder, open_dataset


def test_preprocess_prints_what_became_of_the_input(call, trained, tmp_path):
    argv = ["preprocess", trained.raw, "--output", tmp_path / "data", "--label-column", "kind"]
    printed = call(*argv, "--direct_num_workers=1", "--splits", "train=1")
    assert printed.code == 0
    words = [line.split() for line in printed.out.splitlines()]
    assert ["read", "60", "sequences"] in words
    assert words[1][:2] == ["accepted", "60"]
    assert words[2][:2] == ["rejected", "0"]
    assert words[3] == ["train", "60", "3", "to", "8", "timesteps"]


def test_plan_does_not_import_tensorflow(trained):
    code = (
        "import sys; from padless.cli.main import main; main(sys.argv[1:]);"
        "print('heavy:', *sys.modules.keys() & {'tensorflow', 'tensorflow_datasets', 'keras'})"
    )
    command = [sys.executable, "-c", code, "plan", str(trained.data), "--buckets"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_plan_prints_steps_and_the_cost_of_padding(call, trained):
    printed = call("plan", trained.data, "--batch-size", 8, "--buckets")
    assert printed.code == 0
    lengths = open_dataset(trained.data).split("train").lengths
    count = sum(lengths.values())
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert f"sequences {count}" in lines
    assert any(line.startswith(f"steps per epoch {-(-count // 8)} ") for line in lines)
    longest = max(lengths) * count
    assert any(line.startswith(f"padded to the longest of all {longest}") for line in lines)
    assert len(lines) - lines.index("length sequences per group groups") > len(lengths)


def test_plan_prints_the_order_of_each_epoch(call, trained):
    argv = ["plan", trained.data, "--batch-size", 8]
    printed = call(*argv, "--order", 2)
    assert printed.code == 0
    held, *orders = printed.out.splitlines()[-3:]
    assert held.startswith("held in memory: ")
    assert [line.partition(":")[0] for line in orders] == ["epoch 0", "epoch 1"]
    assert "batch-mates repeated" in orders[1]
    assert call(*argv, "--order", 2, "--seed", 1).out != printed.out
    assert call(*argv, "--order", 2).out == printed.out


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_plan_says_what_an_epoch_is_too_short_for(steps):
    order = StepOrder(steps)
    for length in range(1, steps + 1):
        order.add(length**2)
    explained = _explain_short_epoch(steps) or ""
    assert explained.startswith(f"an epoch of {steps} step") == (steps < 5)
    assert ("a correlation, which" in explained) == math.isnan(order.correlation)
    assert ("drift, which" in explained) == math.isnan(order.drift)


def test_plan_explains_an_order_that_is_not_defined(call, trained):
    printed = call("plan", trained.data, "--batch-size", 64, "--order", 1)
    assert printed.out.splitlines()[-2] == (
        "an epoch of 1 step has neither a correlation, which needs 3 steps, "
        "nor a drift, which needs 5"
    )


def test_train_leaves_a_run_directory(trained):
    assert {path.name for path in trained.run.iterdir()} == {
        "calibration.npz",
        "checkpoints",
        "config.json",
        "history.csv",
        "model.keras",
        "saved_model",
        "steps.csv",
        "tensorboard",
        "timing.csv",
    }


def test_embed_writes_every_key_as_it_was(call, trained, tmp_path, vowel_like):
    sequences, labels = vowel_like
    output = tmp_path / "e.parquet"
    assert call("embed", trained.run, trained.data, "--output", output).code == 0
    table = pq.read_table(output)
    assert table.column_names == ["key", "split", "label", "length", "embedding"]
    rows = {row["key"]: row for row in table.to_pylist()}
    assert rows.keys() == sequences.keys()
    assert all(rows[key]["label"] == labels[key] for key in sequences)
    assert all(rows[key]["length"] == len(sequences[key]) for key in sequences)


def test_embed_takes_the_splits_named(call, trained, tmp_path):
    output = tmp_path / "e.parquet"
    assert (
        call("embed", trained.run, trained.data, "--split", "train", "--output", output).code == 0
    )
    assert set(pq.read_table(output)["split"].to_pylist()) == {"train"}


def test_score_of_raw_rows_is_that_of_the_sequence_alone(call, trained, tmp_path, vowel_like):
    output = tmp_path / "s.parquet"
    argv = ["score", trained.run, trained.raw, "--label-column", "kind", "--output", output]
    assert call(*argv).code == 0
    table = pq.read_table(output)
    assert table.column_names == [
        *("key", "label", "length", "embedding", "score", "p_value"),
        *("score_shape", "score_level", "score_error", "score_unexplained"),
        *("error", "unexplained", "feature_error"),
    ]
    model = load_model(trained.run)
    for row in table.to_pylist():
        alone = model.analyze(vowel_like[0][row["key"]][None])
        assert row["score"] == pytest.approx(float(alone["score"][0]), rel=1e-5)
        np.testing.assert_allclose(row["feature_error"], alone["feature_error"][0], rtol=1e-4)
        np.testing.assert_allclose(row["embedding"], alone["embedding"][0], rtol=1e-4, atol=1e-6)


def test_score_gives_the_p_values_of_the_calibration(call, trained, tmp_path):
    output = tmp_path / "s.parquet"
    assert call("score", trained.run, trained.data, "--output", output).code == 0
    table = pq.read_table(output)
    length, score, p_value = (table[name].to_numpy() for name in ("length", "score", "p_value"))
    assert ((p_value > 0) & (p_value <= 1)).all()
    calibration = open_run(trained.run).calibration
    assert calibration.split == "validation"
    expected = calibration.p_values(length, score).astype(np.float32)
    np.testing.assert_array_equal(p_value, expected)


def test_score_answers_a_run_without_calibration(call, trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / "calibration.npz").unlink()
    done = call("score", run, trained.data, "--output", tmp_path / "s.parquet")
    assert done.code == 1
    assert "calibration.npz is missing: " in done.err
    assert not (tmp_path / "s.parquet").exists()


def test_score_of_raw_input_keeps_its_order(call, trained, tmp_path, vowel_like):
    keys = list(vowel_like[0])[::-1]
    np.savez(tmp_path / "raw.npz", **{f"k{i}": vowel_like[0][key] for i, key in enumerate(keys)})
    output = tmp_path / "s.parquet"
    assert call("score", trained.run, tmp_path / "raw.npz", "--output", output).code == 0
    assert pq.read_table(output)["key"].to_pylist() == [f"k{i}" for i in range(len(keys))]


@pytest.fixture(scope="module")
def trained_on_short(tmp_path_factory):
    """A run on sequences that were cut to three timesteps, gaps filled; and its raw file."""
    folder = tmp_path_factory.mktemp("short")
    rows = [f"k{i},{t},{t * i},{'' if t == 1 else i}" for i in range(8) for t in range(3 + i % 4)]
    (folder / "raw.csv").write_text("\n".join(["key,time,x,y", *rows]) + "\n")
    rules = ("--max-length=3", "--too-long=truncate", "--missing=forward_fill")
    argv = ("preprocess", folder / "raw.csv", "--output", folder / "data", "--splits", "train=1")
    assert main([*map(str, argv), *rules]) == 0
    argv = ("train", folder / "data", "--run", folder / "run", "--epochs", 1, "--units", 4)
    assert main([*map(str, argv), "--latent-size", "2"]) == 0
    return folder


def test_raw_files_are_read_by_the_rules_of_the_training(call, trained_on_short, tmp_path):
    raw, run, data = (trained_on_short / name for name in ("raw.csv", "run", "data"))
    done = call("score", run, raw, "--output", tmp_path / "raw.parquet")
    assert done.code == 0
    assert "truncated   6  sequences" in done.err
    assert call("score", run, data, "--output", tmp_path / "data.parquet").code == 0
    scores = [
        {row["key"]: (row["length"], row["score"]) for row in pq.read_table(path).to_pylist()}
        for path in (tmp_path / "raw.parquet", tmp_path / "data.parquet")
    ]
    assert scores[0] == scores[1]
    assert {length for length, _ in scores[0].values()} == {3}


def test_the_rules_of_the_training_are_replaced_by_those_that_are_given(
    call, trained_on_short, tmp_path
):
    argv = ("score", trained_on_short / "run", trained_on_short / "raw.csv")
    output = ("--output", tmp_path / "s.parquet")
    assert call(*argv, *output, "--max-length", "6").code == 0
    assert set(pq.read_table(output[1])["length"].to_pylist()) == {3, 4, 5, 6}
    done = call(*argv, *output, "--missing", "reject")
    assert done.code == 1
    assert "missing_value 8" in done.err


def test_score_takes_the_columns_that_the_run_was_trained_on(call, trained, tmp_path):
    text = "y,note,key,time,x\n1,hello,a,0,2\n3,there,a,1,4\n"
    (tmp_path / "raw.csv").write_text(text)
    output = tmp_path / "s.parquet"
    assert call("score", trained.run, tmp_path / "raw.csv", "--output", output).code == 0
    (row,) = pq.read_table(output).to_pylist()
    expected = load_model(trained.run).analyze(np.float32([[[2, 1], [4, 3]]]))
    assert row["score"] == pytest.approx(float(expected["score"][0]), rel=1e-5)


def test_report_checks_the_contracts_and_draws(call, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    printed = call("report", trained.run, "--picture", tmp_path / "r.png")
    assert printed.code == 0
    assert "nothing padded  0 padded among" in printed.out
    assert "60 accepted" in printed.out
    assert "training keys came exactly once" in printed.out
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    # Two epochs of a model of four units do not get below the sequences' own mean.
    assert "warning: on train the model does not beat the mean of each " in printed.out
    assert re.search(r"^epoch of train: \d+ of \d+ sequences", printed.err, re.MULTILINE)


def test_report_writes_a_page_quietly(call, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    page = tmp_path / "r.html"
    printed = call("report", trained.run, "--html", page, "--normal", "kind 0", "--quiet")
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.endswith(f"\nhtml: {page}\n")
    assert "AUROC" in page.read_text()
    failed = call("report", trained.run, "--html", page, "--normal", "kind 9")
    assert failed.code == 1
    assert "--normal must be one of the labels of the dataset, got 'kind 9'. Did" in failed.err


def test_reports_name_options_as_they_are_written(call, trained, monkeypatch):
    said = "Train longer, or with longer patches (`patch_length`)."
    monkeypatch.setattr("padless.model.train", lambda *args, **options: said)
    monkeypatch.setattr("padless.model.report_run", lambda *args, **options: said)
    for argv in (["train", trained.data, "--run", "new"], ["report", trained.run]):
        assert "with longer patches (--patch-length)." in call(*argv).out


def test_train_names_resume_as_it_is_written(call, trained):
    failed = call("train", trained.data, "--run", trained.run)
    assert "must not exist. Resume the run (--resume), delete it" in failed.err


def test_report_rejects_another_suffix_before_it_reads_anything(call, tmp_path):
    failed = call("report", tmp_path / "no run", "--html", tmp_path / "r.pdf")
    assert failed.code == 1
    assert (
        failed.err == f"padless report: error: --html must end with .html, got {tmp_path}/r.pdf.\n"
    )


def test_inference_is_one_trace(trained, vowel_like):
    inference = Inference(load_model(trained.run))
    for sequence in vowel_like[0].values():
        inference._run(sequence, [len(sequence)])
    assert inference._run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("argv", "first"),
    [
        (["score", "{run}", "{data}", "--output", "{run}/../s.parquet"], "60 sequences in "),
        (["report", "{run}"], "run "),
        pytest.param(
            ["plan", "{data}", "--batch-size", "8", "--order", "1"],
            "data, split train\n",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_process_prints_nothing_that_is_not_about_the_data(trained, argv, first):
    argv = [part.format(run=trained.run, data=trained.data) for part in argv]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "padless.cli.main", *argv],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith(first)


def test_out_of_memory_is_answered(call, trained, tmp_path):
    # 20,000 units need 6.4 GB for one matrix: more than the limit leaves.
    limited = (
        "import resource, sys; from padless.cli.main import main; "
        "from padless.pipeline.tensorflow_start import start_tensorflow; start_tensorflow(); "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**31,) * 2); sys.exit(main())"
    )
    argv = ["train", trained.data, "--run", tmp_path / "run", "--units", 20000]
    command = [sys.executable, "-c", limited, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Out of memory: try a smaller --batch-size" in done.stderr
    assert "Traceback" not in done.stderr
