"""p-values of anomaly scores, against sequences of about the same length.

1. The scores of a split that was not trained on are kept with the lengths (`save_calibration`).
2. A new sequence is compared with those nearest to it in length (`find_nearest`), each carried to
   its length along their trend (`fit_trend`).
3. Its p-value is the share of them, itself among them, that score as high (`p_values`).

This is split-conformal prediction (Vovk et al., Algorithmic Learning in a Random World, 2005), made
local in the length as local linear regression is (Fan and Gijbels, Local Polynomial Modelling and
Its Applications, 1996).
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib

import numpy as np
from etils import epath

from padless.model.run_directory import layout
from padless.model.run_directory.stored_arrays import DAMAGES, open_stored
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.written_whole import written_whole

# Few neighbours have nearly the length of the sequence, many let a p-value get small. The root lets
# both get better with more data. 100 are the fewest that allow p < 0.01; with 2,000 the smallest is
# 0.0005, and a p-value of 0.05 is known to a tenth of itself.
NEIGHBOURS_PER_ROOT = 5
FEWEST_NEIGHBOURS = 100
MOST_NEIGHBOURS = 2000
# Fewer sequences say more of their own luck than of a trend.
FEWEST_FOR_TREND = 20
# Logarithms of scores that differ by less are equal but for rounding in float32.
ROUNDING = 1e-5

_CACHED_WINDOWS = 1024
_BLOCK_BYTES = 1 << 20
_REMEDY = "Put back what belongs together, or end the run again (`padless train --resume`)."


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of sequences that are taken for normal, by length.

    Attributes:
        split: name of the split that they are from.
        length: `(n,)` int64, in timesteps, ascending.
        score: `(n,)` float64, at least 0, ascending where the lengths are equal. May be infinite.
        recordings: the same of the recordings that the sequences were cut from: number of pieces
            and highest score of each; None where nothing was cut.

    Raises:
        ValueError: if there are none, the arrays do not fit each other, or a score is NaN or
            negative.

    Example:
        >>> calibration = Calibration("validation", np.array([3, 3, 4]), np.array([1.0, 2.0, 9.0]))
        >>> calibration.p_values(np.array([3]), np.array([2.0]))
        array([0.75])
    """

    split: str
    length: np.ndarray
    score: np.ndarray
    recordings: Calibration | None = None
    _windows: dict = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        length, score = check_scores(self.length, self.score)
        if not len(length):
            raise ValueError("`length` must hold at least one sequence to compare with, got none.")
        if np.isnan(score).any():
            raise ValueError(f"`score` must not be NaN, got {int(np.isnan(score).sum())} that are.")
        order = np.lexsort((score, length))
        object.__setattr__(self, "length", length[order])
        object.__setattr__(self, "score", score[order])

    @property
    def is_held_out(self) -> bool:
        """Whether the model was not trained on the sequences."""
        return self.split != TRAINING_SPLIT

    def p_values(self, length: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Computes how unusual scores are among sequences of about the same length.

        Of a sequence's neighbours, see `find_nearest`,

            p = (1 + number of neighbours whose score is at least its own) / (1 + number of them)

        where the scores of neighbours of another length are first carried to its own along the
        trend of their logarithm, see `fit_trend`, but not beyond the lengths of the neighbours.

        Args:
            length: `(batch,)` integers, in timesteps.
            score: `(batch,)`, at least 0.

        Returns:
            `(batch,)` float64, above 0 and at most 1. NaN where the score is: one that cannot be
            scored is neither usual nor unusual, and shall not stop the scoring of the others.

        Raises:
            ValueError: if the arrays do not fit each other, or a score is negative.
        """
        length, score = check_scores(length, score)
        values, inverse = np.unique(length, return_inverse=True)
        windows = self.windows(values)
        p = np.empty(len(score))
        for rows, start, stop in zip(_rows_of_each(inverse, len(values)), *windows, strict=True):
            neighbours, slope = self.neighbours(int(start), int(stop))
            known = length[rows].clip(self.length[start], self.length[stop - 1])
            lower = np.searchsorted(neighbours, log_of(score[rows]) - slope * known - ROUNDING)
            p[rows] = (1 + len(neighbours) - lower) / (1 + len(neighbours))
        p[np.isnan(score)] = np.nan
        return p

    def windows(self, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
        """Finds the neighbours of sequences of these lengths: where they begin and end, `(n,)`."""
        return find_nearest(self.length, lengths, count_neighbours(len(self.length)))

    def neighbours(self, start: int, stop: int) -> tuple[np.ndarray, float]:
        """Sorts the logarithms of the scores from one place to another, freed of their trend.

        Once for all windows of records. Returns the trend too.
        """
        # Several threads score at once: what one has found, another may clear.
        if (found := self._windows.get((start, stop))) is None:
            if len(self._windows) >= _CACHED_WINDOWS:
                self._windows.clear()
            length, logarithm = self.length[start:stop], log_of(self.score[start:stop])
            slope = fit_trend(length, logarithm)
            self._windows[start, stop] = found = np.sort(logarithm - slope * length), slope
        return found


def check_scores(length: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns lengths and scores as int64 and float64.

    Raises:
        ValueError: if they are not integers and numbers, one of each per sequence, or a score is
            negative.
    """
    length, score = np.asarray(length), np.asarray(score)
    if length.ndim != 1 or length.shape != score.shape:
        raise ValueError(
            "`length` and `score` must hold one value per sequence, "
            f"got the shapes {length.shape} and {score.shape}."
        )
    if length.dtype.kind not in "iu" or score.dtype.kind != "f":
        raise ValueError(
            "`length` must hold integers and `score` floating-point numbers, "
            f"got {length.dtype} and {score.dtype}."
        )
    if (score < 0).any():
        raise ValueError(f"`score` must not be negative, got {score[score < 0][0]}.")
    return length.astype(np.int64), score.astype(np.float64)


def fit_trend(length: np.ndarray, logarithm: np.ndarray) -> float:
    """Fits how the logarithm of the score goes with the length, by least squares.

    Args:
        length: `(n,)`, in timesteps.
        logarithm: `(n,)`; what is infinite is left out.

    Returns:
        The slope per timestep; 0 for fewer than `FEWEST_FOR_TREND` scores or a single length.

    Example:
        >>> length = np.arange(1, 41)
        >>> round(fit_trend(length, 0.5 * length), 6)
        0.5
    """
    is_finite = np.isfinite(logarithm)
    length, logarithm = length[is_finite], logarithm[is_finite]
    if len(length) < FEWEST_FOR_TREND:
        return 0.0
    offset = length - length.mean()
    spread = offset @ offset
    return float(offset @ (logarithm - logarithm.mean()) / spread) if spread > 0 else 0.0


def log_of(score: np.ndarray) -> np.ndarray:
    """Returns the logarithms of scores; that of 0 is minus infinity."""
    with np.errstate(divide="ignore"):
        return np.log(score)


def count_neighbours(size: int) -> int:
    """Computes with how many of `size` sequences one is compared, ties not counted.

    Example:
        >>> [count_neighbours(size) for size in (30, 200, 4000, 1_000_000)]
        [30, 100, 316, 2000]
    """
    wanted = round(NEIGHBOURS_PER_ROOT * size**0.5)
    return min(size, max(FEWEST_NEIGHBOURS, min(wanted, MOST_NEIGHBOURS)))


def smallest_p_value(size: int) -> float:
    """Returns the smallest p-value that a calibration on `size` sequences gives without ties.

    Example:
        >>> round(smallest_p_value(200), 4)
        0.0099
    """
    return 1 / (1 + count_neighbours(size))


def least_p_value(lengths: np.ndarray) -> float:
    """Returns the smallest p-value that a sequence of one of a calibration's lengths can have.

    Args:
        lengths: of the sequences of the calibration, `(n,)` integers.

    Example:
        >>> round(least_p_value(np.arange(200)), 4), round(least_p_value(np.full(200, 7)), 4)
        (0.0098, 0.005)
    """
    lengths = np.sort(lengths)
    if not len(lengths):
        return 1.0
    start, stop = find_nearest(lengths, np.unique(lengths), count_neighbours(len(lengths)))
    return 1 / (1 + int((stop - start).max()))


def check_level(level: float, lengths: np.ndarray) -> None:
    """Checks that a calibration can give a p-value of at most `level`.

    Args:
        level: largest p-value of what is called an anomaly.
        lengths: of the sequences of the calibration, `(n,)` integers.

    Raises:
        ValueError: if it cannot, or the level is above 1.
    """
    least = least_p_value(lengths)
    if not least <= level <= 1:
        advice = " A larger validation split allows a smaller one." if level < least else ""
        raise ValueError(
            f"`level` must be from {least:.3g}, the smallest p-value that a comparison with "
            f"{len(lengths):,} sequences gives, to 1, got {level}.{advice}"
        )


def find_nearest(lengths: np.ndarray, wanted: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Finds the lengths nearest to each wanted one.

    Of lengths as far away as the last one found all are taken, so that the result is determined
    by the lengths alone: there may be more than `count`.

    Args:
        lengths: `(n,)` int64, ascending.
        wanted: `(batch,)` int64.
        count: how many to find, from 1 to n.

    Returns:
        Where they begin and end in `lengths`, `(batch,)` int64 each.

    Example:
        >>> find_nearest(np.array([3, 3, 5, 7, 8]), np.array([5, 9]), 2)
        (array([0, 3]), array([4, 5]))
    """
    # Bisection for the first of `count` consecutive lengths, for all wanted ones at once.
    first = np.zeros(len(wanted), np.int64)
    last = np.full(len(wanted), len(lengths) - count)
    while (first < last).any():
        middle = (first + last) // 2
        after = np.minimum(middle + count, len(lengths) - 1)
        is_before = (first < last) & (wanted - lengths[middle] > lengths[after] - wanted)
        first = np.where(is_before, middle + 1, first)
        last = np.where(is_before, last, np.minimum(middle, last))
    distance = np.maximum(wanted - lengths[first], lengths[first + count - 1] - wanted)
    return (
        np.searchsorted(lengths, wanted - distance, side="left"),
        np.searchsorted(lengths, wanted + distance, side="right"),
    )


def _rows_of_each(inverse: np.ndarray, size: int) -> list[np.ndarray]:
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=size))
    return np.split(order, ends[:-1]) if size else []


def choose_split(dataset: SequenceDataset) -> str:
    """Names the split to calibrate on: the one that validates, or else the one of training."""
    return VALIDATION_SPLIT if VALIDATION_SPLIT in dataset.splits else TRAINING_SPLIT


def save_calibration(
    calibration: Calibration, run: epath.PathLike, model: epath.PathLike | None = None
) -> None:
    """Writes `calibration.npz` into a run directory, whole or not at all.

    Args:
        calibration: what to write.
        run: run directory.
        model: file of the model that gave the scores; that of the run if None.
    """
    path, model = pathlib.Path(run) / layout.CALIBRATION_FILE, model or _model_of(run)
    digest, recordings = _digest_file(epath.Path(model)), calibration.recordings
    arrays = {"length": calibration.length, "score": calibration.score}
    if recordings is not None:
        arrays |= {"pieces": recordings.length, "highest": recordings.score}
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            split=np.array(calibration.split),
            model=np.array(digest),
            digest=np.array(_digest(calibration, digest)),
            **arrays,  # type: ignore[arg-type]  # none is named as an option
        )


def load_calibration(run: epath.PathLike) -> Calibration:
    """Loads what the p-values of a finished run compare with, without pickle.

    Args:
        run: run directory, whose configuration has been read.

    Raises:
        FileNotFoundError: if the run has no calibration, or no model.
        ValueError: if the file is damaged or was edited, or the scores are those of another model.
    """
    path = epath.Path(run) / layout.CALIBRATION_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: the training of this run has not finished, or did so before there "
            "were p-values. Resume it (`padless train --resume`)."
        )
    try:
        calibration, model, digest = _read(path)
    except DAMAGES as error:
        raise ValueError(f"{path} must hold a calibration of `padless train`: {error}") from error
    if digest != _digest(calibration, model):
        raise ValueError(
            f"{path} must hold the scores that `padless train` wrote, they were edited. {_REMEDY}"
        )
    if model != _digest_file(_model_of(run)):
        raise ValueError(
            f"{path} must hold scores of {_model_of(run)}, they are those of another model: one of "
            f"the files is from another run or was edited. {_REMEDY}"
        )
    return calibration


def is_finished(run: epath.PathLike) -> bool:
    """Checks whether a run has all that it ends with: a model, and a calibration that is its."""
    try:
        load_calibration(run)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _read(path: epath.Path) -> tuple[Calibration, str, str]:
    """Reads the calibration, the digest of its model, and its own."""
    with open_stored(path) as archive:
        split, recordings = str(archive["split"]), None
        if "pieces" in archive:
            recordings = Calibration(split, archive["pieces"], archive["highest"])
        calibration = Calibration(split, archive["length"], archive["score"], recordings)
        return calibration, str(archive["model"]), str(archive["digest"])


def _model_of(run: epath.PathLike) -> epath.Path:
    return epath.Path(run) / layout.MODEL_FILE


def _digest(calibration: Calibration, model: str) -> str:
    digest = hashlib.sha256(f"{calibration.split}\0{model}\0".encode())
    for part in filter(None, (calibration, calibration.recordings)):
        for values in (part.length, part.score):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def digest_model(run: epath.PathLike) -> str:
    """Returns the SHA-256 of the file of a run's model, in hexadecimal digits."""
    return _digest_file(_model_of(run))


def _digest_file(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
