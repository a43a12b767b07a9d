"""One small data set, preprocessed and trained once through the command line."""

import collections
import contextlib
import csv
import io
import os
import sys
import tempfile
import types

import numpy as np
import pyarrow.parquet as pq
import pytest

import padless.model
from padless.cli.main import main
from padless.model.comparison import compare

COMPARED = ("--units", 4, "--latent-size", 3, "--batch-size", 8, "--epochs", 2)
KEYS = ("../up", "a/b", "new\nline", 'quo"ted', "ünï", "sp aced")


def write_csv(path, sequences, labels=None, seed=0):
    """Writes `{key: (timesteps, 2)}` as long CSV with its rows shuffled."""
    rows = [
        [key, t, *values.tolist(), *([] if labels is None else [labels[key]])]
        for key, sequence in sequences.items()
        for t, values in enumerate(sequence)
    ]
    np.random.default_rng(seed).shuffle(rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "time", "x", "y", *([] if labels is None else ["kind"])])
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def vowel_like():
    """Draws 60 labelled sequences; some keys are not what a file name could be."""
    rng = np.random.default_rng(0)
    keys = [*KEYS, *(f"k{i}" for i in range(60 - len(KEYS)))]
    sequences = {
        key: np.float32(np.sin(np.arange(rng.integers(3, 9))[:, None] / 2 + rng.normal(size=2)))
        for key in keys
    }
    return sequences, {key: f"kind {i % 3}" for i, key in enumerate(keys)}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, vowel_like, listening):
    """Runs preprocess and train; gives the paths of `raw`, `data` and `run`, and what was read."""
    folder = tmp_path_factory.mktemp("flow")
    paths = types.SimpleNamespace(
        raw=write_csv(folder / "raw.csv", *vowel_like), data=folder / "data", run=folder / "run"
    )
    preprocess = ["preprocess", paths.raw, "--output", paths.data, "--label-column", "kind"]
    assert main([*map(str, preprocess), "--splits", "train=0.7,validation=0.3"]) == 0
    train = ["train", paths.data, "--run", paths.run, "--epochs", 2, "--replicas", 2]
    sizes = ["--units", 4, "--latent-size", 3, "--batch-size", 8]
    with _counted() as paths.reads:
        assert main([str(part) for part in train + sizes]) == 0
    return paths


@pytest.fixture(scope="session")
def gaps(tmp_path_factory):
    """A CSV file of tracks that turn by decimetres far from the origin, with gaps.

    `half` has no value of `y`, and `none` none at all.
    """
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("gaps") / "gaps.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "time", "x", "y"])
        for name in [*(f"k{i}" for i in range(30)), "half", "none"]:
            phase = rng.uniform(0, 6)
            for time in range(8 + len(name)):
                turn = phase + time / 2
                values = [500000 + 0.1 * np.sin(turn), 5812345 + 0.1 * np.cos(turn)]
                gap = [name == "none" or rng.random() < 0.2, name in ("half", "none")]
                cells = ["" if g else round(v, 4) for g, v in zip(gap, values, strict=True)]
                writer.writerow([name, time, *cells])
    return path


@pytest.fixture(scope="session")
def masked(gaps, tmp_path_factory):
    """Preprocesses with gaps and centered, trains, and scores the raw file and the dataset.

    Gives the paths of `flat`, a dataset that is not centered, `data` and `run`, what the two jobs
    `said`, and the rows of both `scores` by key.
    """
    folder, said = tmp_path_factory.mktemp("masked"), []
    paths = types.SimpleNamespace(flat=folder / "flat", data=folder / "data", run=folder / "run")
    paths.said, paths.scores = said, {}

    def call(*argv):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main([str(part) for part in argv]) == 0
        return out.getvalue()

    options = ("--missing", "mask", "--splits", "train=0.8,validation=0.2")
    said.append(call("preprocess", gaps, "--output", paths.flat, *options))
    (remedy,) = [line.split()[1] for line in said[0].splitlines() if "--center" in line]
    said.append(call("preprocess", gaps, "--output", paths.data, *options, "--center", remedy))
    small = ("--epochs", 2, "--units", 4, "--latent-size", 2, "--batch-size", 8)
    call("train", paths.data, "--run", paths.run, *small)
    for name, source in (("raw", [gaps, "--skip-rejects"]), ("data", [paths.data])):
        output = folder / f"{name}.parquet"
        call("score", paths.run, *source, "--output", output, "--timesteps")
        paths.scores[name] = {row["key"]: row for row in pq.read_table(output).to_pylist()}
    return paths


@pytest.fixture
def call(capsys):
    """Runs the command line in this process; gives its exit code, output and errors."""

    def run(*argv):
        capsys.readouterr()
        try:
            code = main([str(part) for part in argv])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return types.SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture(scope="session")
def compared(trained, tmp_path_factory):
    """Runs compare on two alignments, each in a process of its own.

    Gives the paths of `runs` and `picture`, the exit `code`, what was printed as `out` and `err`,
    what reached the file descriptors of both past Python as `noise`, the `comparison` itself, and
    the `progress` that was shown.
    """
    folder, progress = tmp_path_factory.mktemp("compared"), []
    runs, picture = folder / "runs", folder / "c.png"
    chosen = ("--alignments", "dynamic_repeat,padded", "--runs", runs, "--picture", picture)
    found = types.SimpleNamespace(runs=runs, picture=picture, progress=progress)

    def keep(*args, **options):
        shown = options.pop("progress")
        options["progress"] = lambda of_run: (progress.append(of_run), shown(of_run))
        found.comparison = compare.compare_alignments(*args, **options)
        return found.comparison

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _noise_kept() as noise:
        patch.setattr(padless.model, "compare_alignments", keep)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            argv = ("compare", trained.data, *COMPARED, *chosen)
            found.code = main([str(part) for part in argv])
    found.out, found.err, found.noise = out.getvalue(), err.getvalue(), noise.getvalue()
    return found


@contextlib.contextmanager
def _noise_kept():
    """Yields what is written to the file descriptors 1 and 2, as a text once it is over."""
    kept = io.StringIO()
    with tempfile.TemporaryFile() as file:
        before = {number: os.dup(number) for number in (1, 2)}
        for number in before:
            os.dup2(file.fileno(), number)
        try:
            yield kept
        finally:
            for number, old in before.items():
                os.dup2(old, number)
                os.close(old)
            file.seek(0)
            kept.write(file.read().decode())


_opened = None


def _listen(event, arguments):
    if _opened is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
        path, mode = os.fspath(arguments[0]), arguments[1] or "r"
        if os.path.basename(path) == "config.json" and "r" in mode:
            _opened[path] += 1


@pytest.fixture(scope="session")  # once per process, whatever the order of the tests
def listening():
    """Listens to every file that this process opens; Python has no way to take it back."""
    sys.addaudithook(_listen)


@pytest.fixture
def reads(listening):
    """Counts how often each `config.json` is read: path -> number."""
    with _counted() as opened:
        yield opened


@contextlib.contextmanager
def _counted():
    global _opened  # noqa: PLW0603
    before, _opened = _opened, collections.Counter()
    try:
        yield _opened
    finally:
        _opened = before
