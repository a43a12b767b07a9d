"""Verifies a dataset directory: reads every byte, and compares all that the metadata say.

1. read the metadata, each file on its own;
2. look for shards that no metadata name;
3. read each shard: CRCs, contract and split of each record;
4. compare each shard with what was written, then each split with its counts, lengths and moments;
5. compare keys with each other, the sequences with those accepted, the rejects with those counted;
6. compare every other file with the checksum that was recorded, and open the dataset.

A fault is reported where it lies: the counts, lengths and moments of a split are compared only if
its shards are what was written, as they would otherwise be blamed for what a shard has lost.
"""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Collection, Iterable, Mapping

from etils import epath

from padless.pipeline.dataset.checksums import FileInfo, find_broken_seal, has_seal
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.directory import check_is_dataset, open_dataset
from padless.pipeline.dataset.framing import read_record_stream
from padless.pipeline.dataset.moments import merge_moments
from padless.pipeline.dataset.names import (
    FEATURES_FILE,
    INFO_FILE,
    LENGTHS_FILE,
    PROVENANCE_FILE,
    REJECTS_FILE,
    STATISTICS_FILE,
)
from padless.pipeline.dataset.provenance import Provenance, ShardInfo
from padless.pipeline.dataset.records import decode_example
from padless.pipeline.dataset.rejects import count_rejects
from padless.pipeline.dataset.tfds_files import SplitInfo
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.verification.compare import compare_lengths, compare_moments
from padless.pipeline.verification.duplicate_keys import KeyIndex, Place
from padless.pipeline.verification.faults import Fault, FaultLog
from padless.pipeline.verification.meter import Meter
from padless.pipeline.verification.recorded import read_recorded
from padless.pipeline.verification.report import SplitContent, VerifyReport
from padless.pipeline.verification.shard import ShardContent, ShardScanner, quote_key

_CHECKED_FILES = (INFO_FILE, FEATURES_FILE, LENGTHS_FILE, STATISTICS_FILE, REJECTS_FILE)


def verify_dataset(
    directory: epath.PathLike,
    *,
    faults_per_file: int | None = 5,
    progress: ShowProgress = ignore_progress,
) -> VerifyReport:
    """Verifies a dataset that `padless preprocess` wrote.

    Faults do not raise. Memory is bounded by the largest record and about 60 bytes per record.

    Args:
        directory: the dataset directory.
        faults_per_file: number of faulty records to name per file, or None for all; all are
            counted.
        progress: called with how much is read, see `padless.pipeline.Progress`.

    Returns:
        What was found; `report.ok` is whether there is no fault.

    Raises:
        FileNotFoundError: if there is no such directory, or it holds no file of metadata at all.
        NotADirectoryError: if it is a file.
    """
    start = time.perf_counter()
    directory = epath.Path(directory)
    check_is_dataset(directory)
    verification = _Verification(directory, FaultLog(faults_per_file), progress)
    verification.run()
    return VerifyReport(
        directory=str(directory),
        splits=tuple(verification.contents),
        checked=tuple(verification.checked),
        not_checked=tuple(verification.not_checked),
        faults=verification.log.faults,
        fault_counts=verification.log.counts,
        seconds=time.perf_counter() - start,
    )


class _Verification:
    """One verification under way."""

    def __init__(self, directory: epath.Path, log: FaultLog, progress: ShowProgress):
        self.directory, self.log, self._progress = directory, log, progress
        self.recorded = read_recorded(directory, log)
        self.keys = KeyIndex()
        self.contents: list[SplitContent] = []
        self.checked: list[str] = []
        self.not_checked: list[str] = []

    def run(self) -> None:
        splits, contract = self.recorded.splits, self.recorded.contract
        if splits is None or contract is None:
            self.not_checked.append(f"records, as {INFO_FILE} and {FEATURES_FILE} are needed")
        else:
            self._check_names(splits)
            self._check_splits(splits, contract)
            self._check_keys()
        self._check_rejects()
        self._check_files()
        self._check_opens()

    def _fault(self, file: str, message: str) -> None:
        self.log.add(Fault(file, message))

    def _check_names(self, splits: Mapping[str, SplitInfo]) -> None:
        """Looks for names that are in one place only: of shards, and of splits."""
        named = {shard for split in splits.values() for shard in split.shards}
        for path in self.directory.iterdir():
            if ".tfrecord" in path.name and path.name not in named:
                self._fault(path.name, f"a shard must be one that {INFO_FILE} names, this is not.")
        shards = self.recorded.provenance.shards or {}
        self._check_known(PROVENANCE_FILE, "shard", shards, named)
        with_records = {name for name, info in splits.items() if any(info.shards.values())}
        for file, content, expected in (
            (LENGTHS_FILE, self.recorded.lengths, set(splits)),
            (STATISTICS_FILE, self.recorded.moments, with_records),
        ):
            if content is not None:
                self._check_known(file, "split", content, splits.keys())
                for split in sorted(expected - content.keys()):
                    self._fault(file, f"the split {split!r} must be described, it is missing.")

    def _check_known(
        self, file: str, kind: str, names: Iterable[str], known: Collection[str]
    ) -> None:
        for name in sorted(set(names) - set(known)):
            self._fault(file, f"the {kind} {name!r} must be one that {INFO_FILE} names.")

    def _check_splits(self, splits: Mapping[str, SplitInfo], contract: RecordContract) -> None:
        provenance = self.recorded.provenance
        paths = [self.directory / shard for info in splits.values() for shard in info.shards]
        meter = Meter(paths, self._progress)
        scanner = ShardScanner(contract, provenance.draw, self.keys, self.log)
        sound = [self._check_split(name, info, scanner, meter) for name, info in splits.items()]
        meter.finish()
        self.checked += ["CRC of each record", "contract of each record", "keys"]
        self._note("CRC of each file", provenance.shards is not None, "none")
        self._note_draw(provenance)
        self.checked.append("counts")
        if any(sound):
            self.checked += ["lengths"] if self.recorded.lengths is not None else []
            self.checked += ["moments"] if self.recorded.moments is not None else []
        self._check_accepted(all(sound))

    def _note_draw(self, provenance: Provenance) -> None:
        draw = provenance.draw
        by = None if draw is None else draw.hold_out_by
        if not provenance.splits_were_given or (draw is not None and by is None):
            self._note("draw of the splits", draw is not None, "no seed and shares")
        if by is not None:
            self.not_checked.append(
                f"draw of what is held out, as it is by the column {by!r}, which no record holds"
            )

    def _note(self, what: str, is_checked: bool, missing: str) -> None:
        if is_checked:
            self.checked.append(what)
        else:
            self.not_checked.append(f"{what}, as {PROVENANCE_FILE} records {missing}")

    def _check_split(self, name: str, info: SplitInfo, scanner: ShardScanner, meter: Meter) -> bool:
        """Checks a split; returns whether its shards are what was written."""
        contents, sound = [], True
        for shard, num_records in info.shards.items():
            content = self._scan(shard, name, scanner, meter)
            if content is not None:
                contents.append(content)
            sound &= content is not None and self._check_shard(shard, content, num_records)
        found = SplitContent(
            name=name,
            num_shards=len(contents),
            num_records=sum(content.info.num_records for content in contents),
            num_bytes=sum(content.info.num_bytes for content in contents),
        )
        self.contents.append(found)
        if sound:
            self._check_num_bytes(found, info)
            self._check_lengths(name, contents)
            self._check_moments(name, contents)
        else:
            self.not_checked.append(f"lengths and moments of {name}, as its shards are at fault")
        return sound

    def _scan(
        self, shard: str, split: str, scanner: ShardScanner, meter: Meter
    ) -> ShardContent | None:
        try:
            content = scanner.scan(self.directory / shard, split, meter.advance)
        except FileNotFoundError:
            self._fault(shard, f"this shard of split {split!r} must exist, it is missing.")
        except OSError as error:
            self._fault(shard, f"this shard of split {split!r} must be readable, got {error}.")
        else:
            meter.end_file(content.info.num_bytes)
            return content
        return None

    def _check_shard(self, shard: str, content: ShardContent, num_records: int) -> bool:
        """Compares a shard with what was written; returns whether they are the same."""
        written = self._written(shard, num_records)
        found = content.info
        if written is None:
            if found.num_records != num_records:
                self._fault(
                    shard,
                    f"the file must hold {num_records:,} intact records, as {INFO_FILE} counts, "
                    f"got {found.num_records:,}.",
                )
            return found.num_records == num_records and not content.num_broken
        if found == written:
            self._check_info(shard, num_records, written)
            return not content.num_broken
        if content.num_damaged and found.num_bytes == written.num_bytes:
            self._check_all_were_read(shard, content, written)
        else:
            owner = self._name_owner(shard, found)
            self._fault(shard, f"the file must hold {written}, got {found}{owner}.")
        return False

    def _check_all_were_read(self, shard: str, content: ShardContent, written: ShardInfo) -> None:
        """Adds what damaged records do not say themselves, though they explain another CRC."""
        lost = written.num_records - content.info.num_records - content.num_damaged
        if lost > 0:
            self._fault(
                shard, f"{lost:,} records after the damage cannot be read: no size leads to them."
            )

    def _written(self, shard: str, num_records: int) -> ShardInfo | None:
        """Looks up what was written to a shard's file, if that is known."""
        shards = self.recorded.provenance.shards
        if shards is None:
            return None
        if shard in shards:
            return shards[shard]
        if num_records:
            self._fault(PROVENANCE_FILE, f"the shard {shard!r} must be described, it is missing.")
            return None
        return ShardInfo(0, 0, 0)  # a shard without a record is not described

    def _check_info(self, shard: str, num_records: int, written: ShardInfo) -> None:
        if written.num_records != num_records:
            self._fault(
                INFO_FILE,
                f"the shard {shard!r} must be counted with the {written.num_records:,} records "
                f"that were written to it, got {num_records:,}.",
            )

    def _name_owner(self, shard: str, found: ShardInfo) -> str:
        shards = self.recorded.provenance.shards or {}
        owners = [name for name, info in shards.items() if name != shard and info == found]
        return f": those are the bytes of {owners[0]}" if owners else ""

    def _check_num_bytes(self, found: SplitContent, info: SplitInfo) -> None:
        if info.num_bytes != found.num_bytes:
            self._fault(
                INFO_FILE,
                f"the split {found.name!r} must have the {found.num_bytes:,} bytes of its shards, "
                f"got {info.num_bytes:,}.",
            )

    def _check_lengths(self, split: str, contents: list[ShardContent]) -> None:
        written = (self.recorded.lengths or {}).get(split)
        found = sum((content.lengths for content in contents), collections.Counter())
        if written is not None:
            for message in compare_lengths(written, found):
                self._fault(LENGTHS_FILE, f"the split {split!r} {message}")

    def _check_moments(self, split: str, contents: list[ShardContent]) -> None:
        written = (self.recorded.moments or {}).get(split)
        taken = [content.moments for content in contents if content.moments is not None]
        if written is not None and taken:
            for message in compare_moments(written, merge_moments(taken)):
                self._fault(STATISTICS_FILE, f"the split {split!r} {message}")

    def _check_keys(self) -> None:
        # A shard that does not belong here is the one to blame.
        for place, first in self.keys.find_duplicates(suspects=self.log.counts):
            message = ""
            if not self.log.is_full(place.file):
                message = (
                    f"its key must be its own, {self._read_key(place)} is also that of record "
                    f"{first.position} at byte {first.start} of {first.file}."
                )
            self.log.add(Fault(place.file, message, place.position, place.start))

    def _read_key(self, place: Place) -> str:
        """Reads a key once more, of which only a digest was kept."""
        with (self.directory / place.file).open("rb") as file:
            file.seek(place.start)
            data = next(read_record_stream(file, place.file))
        return quote_key(decode_example(data)["key"][0])

    def _check_accepted(self, is_sound: bool) -> None:
        counts = self.recorded.provenance.counts
        found = sum(content.num_records for content in self.contents)
        if counts is not None and counts.num_lost:
            rejected = sum(counts.rejected.values())
            left_out = f", {counts.left_out:,} left out" if counts.left_out else ""
            self._fault(
                PROVENANCE_FILE,
                f"the sequences accepted and rejected must be the {counts.expected:,} that were "
                f"read or made by splitting, got {counts.accepted:,} and {rejected:,}{left_out}.",
            )
        if counts is not None and is_sound and found != counts.accepted:
            self._fault(
                PROVENANCE_FILE,
                f"the sequences accepted must be the {found:,} of the shards, "
                f"got {counts.accepted:,}.",
            )

    def _check_rejects(self) -> None:
        counts = self.recorded.provenance.counts
        self._note("rejects", counts is not None, "no report of the job")
        if counts is None:
            return
        try:
            found = count_rejects(self.directory / REJECTS_FILE)
        except FileNotFoundError:
            self._fault(REJECTS_FILE, "the file must exist, it is missing.")
        except (OSError, ValueError) as error:
            self._fault(REJECTS_FILE, str(error))
        else:
            self._compare_rejects(found, counts.rejected)

    def _check_files(self) -> None:
        """Compares files with their checksums; one with a fault that says more is left out."""
        files = self.recorded.provenance.files
        if not self._check_seal() or files is None:
            missing = "none" if files is None else "others than it did"
            self._note("CRC of the metadata", False, missing)
            return
        self.checked.append("CRC of the metadata")
        for name, written in files.items():
            if name not in _CHECKED_FILES:  # which may be anywhere
                known = ", ".join(_CHECKED_FILES)
                self._fault(PROVENANCE_FILE, f"a file must be one of {known}, got {name!r}.")
            elif name not in self.log.counts:
                self._check_file(name, written)

    def _check_file(self, name: str, written: FileInfo) -> None:
        try:
            found = FileInfo.read(self.directory / name)
        except FileNotFoundError:
            self._fault(name, "the file must exist, it is missing.")
        else:
            if found != written:
                self._fault(name, f"the file must hold {written}, got {found}.")

    def _check_seal(self) -> bool:
        """Checks whether the provenance is what it was, by its own checksum."""
        try:
            data = (self.directory / PROVENANCE_FILE).read_bytes()
            is_sealed = has_seal(json.loads(data))
        except (OSError, RecursionError, ValueError):
            return False  # which is a fault already
        if is_sealed:
            broken = find_broken_seal(data)
        else:
            is_older = self.recorded.provenance.files is None
            broken = None if is_older else "the file must end with its own CRC, it is missing."
        if broken is not None and PROVENANCE_FILE not in self.log.counts:
            self._fault(PROVENANCE_FILE, broken)
        return broken is None

    def _check_opens(self) -> None:
        """Opens the dataset as everything does that uses it, where nothing else was found."""
        if self.log.counts:
            return
        try:
            open_dataset(self.directory)
        except (OSError, RuntimeError, ValueError) as error:
            file, _, message = str(error).removeprefix(f"{self.directory}/").partition(": ")
            self._fault(file, message)

    def _compare_rejects(self, found: Mapping[str, int], counted: Mapping[str, int]) -> None:
        for reason in sorted(found.keys() | counted.keys()):
            if found.get(reason, 0) != counted.get(reason, 0):
                self._fault(
                    REJECTS_FILE,
                    f"the file must hold {counted.get(reason, 0):,} rejects with the reason "
                    f"{reason!r}, as {PROVENANCE_FILE} counts, got {found.get(reason, 0):,}.",
                )
