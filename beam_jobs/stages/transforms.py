"""The job's stages as Beam transforms; what they do is in the pure functions that they call.

1. `ReadFragments` or `PartitionSequences`: the input as fragments, gathered by the hash of their
   key into blocks, which Beam passes on by where they are.
2. `AssemblePartitions`: the fragments of a key become a sequence or rejects; the sequences of a
   partition are encoded as segments.
3. `PlanLayout`: the number of features of most sequences, and the shard of each partition.
4. `WriteShards`: each shard from its segments; those of another number of features become rejects.
5. `WriteRejects`: every rejected input, sorted, in one file.
6. `Finish`: waits for all of them, checks that nothing was lost, and writes the metadata.

Errors in the data are data: they travel to the last step as rejects, or as failures where a file
cannot be read on or written, and never as exceptions, which a runner would try again and bury in a
traceback.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from padless.beam_jobs.assembly.blocks import Block
from padless.beam_jobs.assembly.partitions import FragmentBuffer, read_fragments
from padless.beam_jobs.assembly.rounding import Rounding, merge_spreads
from padless.beam_jobs.assembly.segments import (
    RejectSegment,
    Segment,
    build_reject_segment,
    build_segments,
    reject_segment,
)
from padless.beam_jobs.fragments import (
    Item,
    Reject,
    RejectedPart,
    Sequence,
    Source,
    UnreadableInputError,
)
from padless.beam_jobs.options import Output
from padless.beam_jobs.output.layout import Layout, plan_layout
from padless.beam_jobs.output.writer import DatasetWriter, RejectSummary
from padless.beam_jobs.readers.element_reader import element_item
from padless.beam_jobs.readers.inputs import read_source
from padless.beam_jobs.stages.finish import Outcome, explain_hopeless, finish
from padless.beam_jobs.stages.job import Job
from padless.pipeline.dataset.metadata import ShardSummary

_Collections = Mapping[str, beam.PCollection]
_Sizes = dict[tuple[str, int, int], tuple[int, int]]


@dataclasses.dataclass(eq=False)
class ReadFragments(beam.PTransform):
    """Reads sources; returns `blocks` by partition, `spreads` and, as messages, `failures`."""

    job: Job

    def expand(self, sources: beam.PCollection) -> _Collections:
        """Adds the stage."""
        return _gather(sources | beam.Reshuffle(), _ReadFragmentsFn(self.job))


@dataclasses.dataclass(eq=False)
class PartitionSequences(beam.PTransform):
    """Gathers sequences of any pipeline; returns what `ReadFragments` returns."""

    job: Job

    def expand(self, sequences: beam.PCollection) -> _Collections:
        """Adds the stage."""
        return _gather(sequences, _PartitionSequencesFn(self.job))


@dataclasses.dataclass(eq=False)
class BuildDataset(beam.PTransform):
    """Builds a dataset from blocks, except for moving it to its place; returns one `Outcome`."""

    job: Job

    def expand(self, read: _Collections) -> beam.PCollection:
        """Adds the stages 2 to 6."""
        blocks, failures = read["blocks"], read["failures"]
        assembled = blocks | "AssemblePartitions" >> AssemblePartitions(self.job)
        layout = assembled["segments"] | "PlanLayout" >> beam.CombineGlobally(
            PlanLayout(self.job.output)
        )
        written = assembled["segments"] | "WriteShards" >> WriteShards(self.job, layout)
        rejects = (
            (assembled["rejects"], written["rejects"])
            | "FlattenRejects" >> beam.Flatten()
            | "WriteRejects" >> WriteRejects(self.job)
        )
        failures = (
            failures,
            assembled["failures"],
            written["drawing_failures"],
            written["failures"],
            rejects["failures"],
        ) | "FlattenFailures" >> beam.Flatten()
        spreads = read["spreads"] | "MergeSpreads" >> beam.CombineGlobally(merge_spreads)
        tally = assembled["tallies"] | "AddTallies" >> beam.CombineGlobally(_add_counters)
        return (
            blocks.pipeline
            | "StartToFinish" >> beam.Create([None])
            | "Finish"
            >> beam.Map(
                lambda _, job, **parts: finish(job, **parts),
                self.job,
                shards=AsIter(written["shards"]),
                rejects=AsIter(rejects["summary"]),
                failures=AsIter(failures),
                tally=AsSingleton(tally),
                spreads=AsSingleton(spreads),
                layout=AsSingleton(layout),
            ).with_output_types(Outcome)
        )


@dataclasses.dataclass(eq=False)
class AssemblePartitions(beam.PTransform):
    """Groups blocks by partition; returns `segments`, `rejects`, `tallies` and `failures`."""

    job: Job

    def expand(self, blocks: beam.PCollection) -> _Collections:
        """Adds the stage."""
        assemble = beam.ParDo(_AssembleFn(self.job))
        return (
            blocks
            | beam.GroupByKey()
            | assemble.with_outputs("rejects", "tallies", "failures", main="segments")
        )


@dataclasses.dataclass(eq=False)
class WriteShards(beam.PTransform):
    """Writes segments into shards; returns their summaries as `shards`, `rejects` and failures."""

    job: Job
    layout: beam.PCollection

    def expand(self, segments: beam.PCollection) -> _Collections:
        """Adds the stage."""
        layout = AsSingleton(self.layout)
        drawn = segments | "DrawShards" >> beam.ParDo(_DrawShardFn(self.job), layout).with_outputs(
            "rejects", "failures", main="drawn"
        )
        written = (
            drawn["drawn"]
            | beam.GroupByKey()
            | "WriteShard"
            >> beam.ParDo(_WriteShardFn(self.job), layout).with_outputs("failures", main="shards")
        )
        return {
            "shards": written["shards"],
            "failures": written["failures"],
            "rejects": drawn["rejects"],
            "drawing_failures": drawn["failures"],
        }


@dataclasses.dataclass(eq=False)
class WriteRejects(beam.PTransform):
    """Writes all rejects, even if there are none, into one file; returns `summary`, `failures`."""

    job: Job

    def expand(self, rejects: beam.PCollection) -> _Collections:
        """Adds the stage."""
        write = beam.ParDo(_WriteRejectsFn(), AsIter(rejects))
        return (
            rejects.pipeline
            | beam.Create([self.job.writer])
            | write.with_outputs("failures", main="summary")
        )


class PlanLayout(beam.CombineFn):
    """Adds up the sizes of the segments; returns a `Layout`."""

    def __init__(self, output: Output):
        self._output = output

    def create_accumulator(self) -> _Sizes:
        """Starts with nothing."""
        return {}

    def add_input(self, accumulator: _Sizes, segment: Segment) -> _Sizes:
        """Adds one segment."""
        group = segment.split, segment.num_features, segment.partition
        accumulator[group] = sum(segment.lengths.values()), segment.records.num_bytes
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Sizes]) -> _Sizes:
        """Joins parts; each segment is in one of them."""
        return {group: size for part in accumulators for group, size in part.items()}

    def extract_output(self, accumulator: _Sizes) -> Layout:
        """Plans."""
        return plan_layout(accumulator, self._output)


class _BufferingFn(beam.DoFn):
    """Gathers items, rounded, into blocks over a whole bundle of elements."""

    def __init__(self, job: Job):
        self._job = job

    def start_bundle(self) -> None:
        self._buffer = FragmentBuffer(self._job.writer.temporary, self._job.output.seed)
        self._rounding = Rounding(self._job.offsets)
        self._counts = self._job.worker_counts()

    def finish_bundle(self) -> Iterator:
        spreads = TaggedOutput("spreads", self._rounding.take_spreads())
        for output in (*_tag_failures(self._flush()), spreads):
            if isinstance(output, TaggedOutput):
                yield TaggedOutput(output.tag, GlobalWindows.windowed_value(output.value))
            else:
                yield GlobalWindows.windowed_value(output)
        self._counts.write()

    def _gather(self, items: Iterable[Item]) -> Iterator[tuple[int, Block]]:
        for item in items:
            self._buffer.add(self._rounding.round(item))
            self._counts.add(read=1 if isinstance(item, Reject) else item[1].num_records)
            if self._buffer.is_full:
                yield from self._flush()

    def _flush(self) -> Iterator[tuple[int, Block]]:
        yield from self._buffer.flush()


@beam.typehints.with_output_types(tuple[int, Block])
class _ReadFragmentsFn(_BufferingFn):
    def process(self, source: Source) -> Iterator:
        yield from _tag_failures(self._gather(self._read(source)))

    def _read(self, source: Source) -> Iterator[Item]:
        for item in read_source(source, self._job.columns):
            if (
                source.split is None
                or isinstance(item, Reject)
                or isinstance(item[1], RejectedPart)
            ):
                yield item
            else:
                yield item[0], dataclasses.replace(item[1], split=source.split)


@beam.typehints.with_output_types(tuple[int, Block])
class _PartitionSequencesFn(_BufferingFn):
    def process(self, element: Any) -> Iterator:  # whatever a user's pipeline holds
        has_label = self._job.columns.label is not None
        yield from _tag_failures(self._gather([element_item(element, has_label=has_label)]))


@beam.typehints.with_output_types(Segment)
class _AssembleFn(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def start_bundle(self) -> None:
        self._counts = self._job.worker_counts()

    def process(self, keyed: tuple[int, Iterable[Block]]) -> Iterator:
        yield from _tag_failures(self._process(*keyed))

    def finish_bundle(self) -> None:
        self._counts.write()

    def _process(self, partition: int, blocks: Iterable[Block]) -> Iterator:
        fragments: dict[bytes, list] = collections.defaultdict(list)
        rejects: list[Reject] = []
        sequences: list[Sequence] = []
        for item in read_fragments(blocks):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                fragments[item[0]].append(item[1])
        tally = collections.Counter(read=len(rejects))
        assembler = self._job.assembler()
        for key, parts in fragments.items():
            assembled = assembler.assemble(key, parts)
            tally.update(assembled.tally)
            rejects += [result for result in assembled.results if isinstance(result, Reject)]
            sequences += [result for result in assembled.results if isinstance(result, Sequence)]
        self._counts.add(accepted=len(sequences), rejected=len(rejects))
        yield TaggedOutput("tallies", tally)
        temporary, output = self._job.writer.temporary, self._job.output
        if rejects:
            yield TaggedOutput("rejects", build_reject_segment(rejects, temporary))
        yield from build_segments(
            partition, sequences, temporary, seed=output.seed, order=output.order
        )


@beam.typehints.with_output_types(tuple[tuple[str, int], Segment])
class _DrawShardFn(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, segment: Segment, layout: Layout) -> Iterator:
        yield from _tag_failures(self._process(segment, layout))

    def _process(self, segment: Segment, layout: Layout) -> Iterator:
        if segment.num_features == layout.num_features:
            yield (segment.split, layout.shards[segment.split][segment.partition]), segment
        else:
            rejected = reject_segment(segment, layout.num_features, self._job.writer.temporary)
            yield TaggedOutput("rejects", rejected)


@beam.typehints.with_output_types(ShardSummary)
class _WriteShardFn(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, keyed: tuple[tuple[str, int], Iterable[Segment]], layout: Layout) -> Iterator:
        (split, shard), segments = keyed
        yield from _tag_failures(self._process(split, shard, segments, layout))

    def _process(
        self, split: str, shard: int, segments: Iterable[Segment], layout: Layout
    ) -> Iterator[ShardSummary]:
        summary = self._job.writer.write_shard(split, shard, segments, layout)
        counts = self._job.worker_counts()
        counts.add(written=summary.num_records)
        yield summary


@beam.typehints.with_output_types(RejectSummary)
class _WriteRejectsFn(beam.DoFn):
    def process(self, writer: DatasetWriter, rejects: Iterable[RejectSegment]) -> Iterator:
        yield from _tag_failures(map(writer.write_rejects, [rejects]))


def _gather(items: beam.PCollection, fn: _BufferingFn) -> _Collections:
    outputs = ("blocks", "spreads", "failures")
    gathered = items | beam.ParDo(fn).with_outputs(*outputs[1:], main=outputs[0])
    return {name: gathered[name] for name in outputs}


def _add_counters(counters: Iterable[collections.Counter]) -> collections.Counter:
    return sum(counters, collections.Counter())


def _tag_failures(outputs: Iterable) -> Iterator:
    """Passes outputs on, and ends with a failure where trying again would not help."""
    try:
        yield from outputs
    except UnreadableInputError as error:
        yield TaggedOutput("failures", str(error))
    except OSError as error:
        if (failure := explain_hopeless(error)) is None:
            raise
        yield TaggedOutput("failures", failure)
