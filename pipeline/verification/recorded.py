"""What the metadata of a dataset directory say of it, each file read on its own.

`open_dataset` stops at the first file that is not as it was written. A verifier continues with
what can be read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from etils import epath

from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.json_content import load_json
from padless.pipeline.dataset.metadata import parse_lengths, parse_statistics
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.names import (
    FEATURES_FILE,
    INFO_FILE,
    LENGTHS_FILE,
    PROVENANCE_FILE,
    STATISTICS_FILE,
)
from padless.pipeline.dataset.provenance import Provenance, parse_provenance
from padless.pipeline.dataset.tfds_files import SplitInfo, parse_features, parse_info
from padless.pipeline.verification.faults import Fault, FaultLog

_Parsed = TypeVar("_Parsed")


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """All that the metadata say; None for a file that could not be read.

    Attributes:
        splits: name -> its shards.
        contract: what each record must hold.
        lengths: split -> length in timesteps -> number of sequences.
        moments: split -> moments of its values; a split without a record is not there.
        provenance: how it was made.
    """

    splits: Mapping[str, SplitInfo] | None
    contract: RecordContract | None
    lengths: Mapping[str, Mapping[int, int]] | None
    moments: Mapping[str, Moments] | None
    provenance: Provenance


def read_recorded(directory: epath.Path, log: FaultLog) -> Recorded:
    """Reads the metadata; a file that is missing or not as it was written is a fault in `log`."""

    def read(file: str, parse: Callable[[Any], _Parsed]) -> _Parsed | None:
        return _read_file(directory, file, parse, log)

    info = read(INFO_FILE, parse_info)
    contract = read(FEATURES_FILE, parse_features)
    num_features = contract.num_features if contract else None
    statistics = read(STATISTICS_FILE, lambda content: parse_statistics(content, num_features))
    return Recorded(
        splits=info.splits if info else None,
        contract=contract,
        lengths=read(LENGTHS_FILE, parse_lengths),
        moments=statistics.moments if statistics else None,
        provenance=read(PROVENANCE_FILE, parse_provenance) or Provenance(),
    )


def _read_file(
    directory: epath.Path, file: str, parse: Callable[[Any], _Parsed], log: FaultLog
) -> _Parsed | None:
    try:
        return load_json((directory / file).read_bytes(), parse)
    except FileNotFoundError:
        log.add(Fault(file, "the file must exist, it is missing."))
    except (OSError, ValueError) as error:
        log.add(Fault(file, str(error)))
    return None
