"""What the metadata of a dataset directory say of it, each file read on its own.

`open_dataset` stops at the first file that is not as it was written. A verifier continues with
what can be read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from etils import epath

from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.metadata import (
    FEATURES,
    INFO,
    LENGTHS,
    PROVENANCE,
    MetadataFile,
    statistics_of,
)
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.provenance import Provenance
from padless.pipeline.dataset.tfds_files import SplitInfo
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

    def read(file: MetadataFile[_Parsed]) -> _Parsed | None:
        try:
            return file.read(directory)
        except FileNotFoundError:
            log.add(Fault(file.name, "the file must exist, it is missing."))
        except (OSError, ValueError) as error:
            log.add(Fault(file.name, str(error)))
        return None

    info = read(INFO)
    contract = read(FEATURES)
    statistics = read(statistics_of(contract.num_features if contract else None))
    if contract and statistics:
        contract = dataclasses.replace(
            contract,
            masks_missing=statistics.masks_missing,
            static_columns=statistics.static_columns,
        )
    return Recorded(
        splits=info.splits if info else None,
        contract=contract,
        lengths=read(LENGTHS),
        moments=statistics.moments if statistics else None,
        provenance=read(PROVENANCE) or Provenance(),
    )
