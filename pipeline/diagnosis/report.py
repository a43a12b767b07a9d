"""What a diagnosis has found, and how it is shown."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

from padless.pipeline.diagnosis.findings import Answer, Finding, NotTold
from padless.pipeline.wording import plural

DEFAULT_BATCH_SIZE = 64
DEFAULT_REPLICAS = 1

_WIDTH = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found in an input pipeline; `print` shows it.

    Attributes:
        description: what was looked at, as lines.
        findings: traps first, then what depends on what is done with the data.
        not_found: names of the traps that were looked for and are not there.
        not_told: name of the trap -> why it could not be looked for.
        outlook: what batches of the data would cost, as lines; empty for a dataset of batches.
        numbers: what was counted.
        seconds: wall time.
    """

    description: tuple[str, ...]
    findings: tuple[Finding, ...]
    not_found: tuple[str, ...]
    not_told: Mapping[str, str]
    numbers: Mapping[str, float | None]
    seconds: float
    outlook: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no trap."""
        return not self.num_traps

    @property
    def num_traps(self) -> int:
        """Number of traps, without the notes."""
        return sum(finding.is_trap for finding in self.findings)

    def __str__(self) -> str:
        """Returns the report as lines of 80 columns."""
        outlook = ["", *self.outlook] if self.outlook else []
        lines = [*self.description, *outlook, "", self._count()]
        for number, finding in enumerate(self.findings, 1):
            if not finding.is_trap and (number == 1 or self.findings[number - 2].is_trap):
                lines += ["", "It depends on what you do with it:"] if self.num_traps else []
            lines += ["", finding.describe(number)]
        lines += self._list_rest()
        return "\n".join(lines)

    def _count(self) -> str:
        notes = len(self.findings) - self.num_traps
        traps = "no trap" if self.ok else plural(self.num_traps, "trap")
        also = f", {plural(notes, 'note')}" if notes else ""
        return f"{traps} found{also}, {self.seconds:.1f} s"

    def _list_rest(self) -> list[str]:
        lines = []
        if self.not_found:
            names = ", ".join(name.replace("_", " ") for name in self.not_found)
            lines += ["", *_wrap(f"not found: {names}", "")]
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.not_told.items():
            by_reason.setdefault(reason, []).append(name.replace("_", " "))
        if by_reason:
            lines += ["", "could not be told:"]
        for reason, traps in by_reason.items():
            lines += _wrap(f"{', '.join(traps)}: {reason}", "  ")
        return lines


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")


def make_diagnosis(
    description: list[str],
    answers: Mapping[str, Answer],
    *,
    numbers: Mapping[str, float | None],
    seconds: float,
    outlook: Sequence[str] = (),
) -> Diagnosis:
    """Sorts the answers of the checks.

    Args:
        description: what was looked at, as lines.
        answers: name of the trap -> what its check answers.
        numbers: what was counted.
        seconds: wall time.
        outlook: what batches of the data would cost, as lines.
    """
    findings = [answer for answer in answers.values() if isinstance(answer, Finding)]
    return Diagnosis(
        description=tuple(line for text in description for line in _wrap(text, "")),
        findings=tuple(sorted(findings, key=lambda finding: not finding.is_trap)),
        not_found=tuple(name for name, answer in answers.items() if answer is None),
        not_told={n: a.reason for n, a in answers.items() if isinstance(a, NotTold)},
        numbers=numbers,
        seconds=seconds,
        outlook=tuple(outlook),
    )
