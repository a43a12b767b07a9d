"""The fit: sequences to a dataset and on to a trained model, by the road of the commands.

1. The sequences are written into a raw file, as a user of the commands would have it.
2. `preprocess` makes a dataset of it, `train` trains on that.
3. What scoring needs of the run is kept in memory. The rest is removed, unless it is to be kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import signal
import tempfile
from collections.abc import Iterable, Iterator

from padless.beam_jobs import Output, PreprocessOptions, Rules, preprocess
from padless.beam_jobs.assembly.rounding import describe_lost_digits
from padless.estimators.sequences import Input
from padless.estimators.trained import TrainedModel, retracing_expected
from padless.model import Architecture, TrainingOptions, TrainingStopped, train
from padless.pipeline import open_dataset
from padless.pipeline.dataset.fingerprint import changed_parts, fingerprint
from padless.pipeline.dataset.keys import draw_split
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.wording import list_names

_DATA, _RUN = "data", "run"
_LOGGER = logging.getLogger("padless")
_UNUSED = (
    "`X` has columns that are not used, as they hold no numbers: %s. Convert those that are "
    "features, or name the features by `features`."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made of sequences.

    Attributes:
        rules: what is accepted.
        architecture: what to build.
        options: how to train; the seed draws the validation split as well.
        validation_fraction: share of the sequences that is not trained on.
        directory: where dataset and run are kept, or None to keep neither.
    """

    rules: Rules
    architecture: Architecture
    options: TrainingOptions
    validation_fraction: float
    directory: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                "`validation_fraction` must be at least 0 and below 1, "
                f"got {self.validation_fraction}."
            )

    @property
    def splits(self) -> dict[str, float]:
        """Share of the sequences per split."""
        held_out = {VALIDATION_SPLIT: self.validation_fraction} if self.validation_fraction else {}
        return {TRAINING_SPLIT: 1 - self.validation_fraction} | held_out

    def count_splits(self, keys: Iterable[bytes]) -> dict[str, int]:
        """Counts the sequences that are drawn for each split."""
        shares = list(self.splits.items())
        drawn = [draw_split(key, self.options.seed, shares) for key in keys]
        return {name: drawn.count(name) for name in self.splits}


def train_model(given: Input, recipe: Recipe) -> TrainedModel:
    """Trains a model on sequences, all of which the rules accept.

    Raises:
        KeyboardInterrupt: if it is interrupted; with a directory, the next fit resumes it.
        ValueError: if the directory holds the fit of other data or parameters.
        TrainingStopped: if SIGTERM has come.
    """
    if given.unused:
        _LOGGER.warning(_UNUSED, list_names(given.unused))
    with _place(recipe.directory) as place, retracing_expected():
        _write_dataset(given, recipe, place / _DATA)
        try:
            train(
                place / _DATA,
                place / _RUN,
                architecture=recipe.architecture,
                options=recipe.options,
                resume=True,
            )
        except TrainingStopped as stopped:
            if stopped.signal == signal.SIGINT:
                raise KeyboardInterrupt from stopped
            raise
        return TrainedModel.of_run(place / _RUN)


@contextlib.contextmanager
def logged(verbose: int) -> Iterator[None]:
    """Shows what padless logs on standard error: from 1 on a line per epoch, else warnings alone.

    What a program has set up for its logs stays as it is.
    """
    if not verbose:
        yield
        return
    level, handlers = _LOGGER.level, [] if _LOGGER.hasHandlers() else [logging.StreamHandler()]
    _LOGGER.setLevel(logging.INFO)
    for handler in handlers:
        _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)
        for handler in handlers:
            _LOGGER.removeHandler(handler)


@contextlib.contextmanager
def _place(directory: str | None) -> Iterator[pathlib.Path]:
    """Yields the folder of dataset and run: the one to keep, or one for the time of the fit."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="padless-") as folder:
            yield pathlib.Path(folder)
    else:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        yield pathlib.Path(directory)


def _write_dataset(given: Input, recipe: Recipe, dataset: pathlib.Path) -> None:
    """Writes the dataset, or checks that the one that is there holds the same sequences."""
    with tempfile.TemporaryDirectory(prefix="padless-") as folder:
        raw = given.write(folder)
        if not dataset.exists():
            _preprocess(given, recipe, raw, dataset)
            return
        again = pathlib.Path(folder, dataset.name)
        _preprocess(given, recipe, raw, again)
        kept, now = (fingerprint(open_dataset(path)) for path in (dataset, again))
    if changed := changed_parts(kept, now):
        raise ValueError(
            "`directory` must be new, or hold a fit of the same sequences and `random_state`: "
            f"{dataset.parent} holds another one (what differs: {', '.join(changed)}). Name "
            "another directory, or delete this one to fit anew."
        )


def _preprocess(given: Input, recipe: Recipe, raw: str, dataset: pathlib.Path) -> None:
    output = Output(str(dataset), splits=recipe.splits, seed=recipe.options.seed)
    options = PreprocessOptions(
        inputs=[raw], output=output, columns=given.columns, rules=recipe.rules
    )
    report = preprocess(options)
    if report.lost_digits:
        lines = describe_lost_digits(report.lost_digits, report.features)
        _LOGGER.warning(
            "%s\n  Subtract an offset from it first: `X - offset`.",
            "\n".join(line for line in lines if not line.startswith("  --center")),
        )
