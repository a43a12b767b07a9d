"""The job's stages as Beam transforms; what they do stands in the pure functions they call."""

from __future__ import annotations

import collections
import dataclasses

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsSingleton, TaggedOutput

from padless.beam_jobs.assemble import assemble, count_units
from padless.beam_jobs.fragments import Reject, Sequence, Source, UnreadableInputError
from padless.beam_jobs.inputs import read_source
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.splits import Layout, draw_shard, draw_split, measure, plan_layout
from padless.beam_jobs.writer import DatasetWriter
from padless.pipeline.directory import ShardSummary


@dataclasses.dataclass(eq=False)
class ReadFragments(beam.PTransform):
    """Reads files; gives `fragments`, `rejects` and, as messages, `failures`."""

    options: PreprocessOptions

    def expand(self, sources):
        """Adds the stage."""
        read = beam.ParDo(_ReadFragmentsFn(self.options))
        return (
            sources | beam.Reshuffle() | read.with_outputs("rejects", "failures", main="fragments")
        )


class AssembleSequences(beam.PTransform):
    """Groups fragments by key; gives `sequences`, `rejects` and the `counts` of both together."""

    def expand(self, fragments):
        """Adds the stage."""
        assembled = beam.ParDo(_AssembleFn())
        return (
            fragments
            | beam.GroupByKey()
            | assembled.with_outputs("rejects", "counts", main="sequences")
        )


@dataclasses.dataclass(eq=False)
class WriteShards(beam.PTransform):
    """Writes sequences into shards; gives `shards`, their summaries, and `rejects`."""

    writer: DatasetWriter
    layout: beam.PCollection

    def expand(self, sequences):
        """Adds the stage."""
        layout = AsSingleton(self.layout)
        drawn = sequences | "DrawShards" >> beam.ParDo(
            _DrawShardFn(self.writer.options), layout
        ).with_outputs("rejects", main="drawn")
        shards = (
            drawn["drawn"]
            | beam.GroupByKey()
            | "WriteShard" >> beam.ParDo(_WriteShardFn(self.writer), layout)
        )
        return {"shards": shards, "rejects": drawn["rejects"]}


@dataclasses.dataclass(eq=False)
class WriteRejects(beam.PTransform):
    """Writes all rejects into one file, also if there is none; gives their summary."""

    writer: DatasetWriter

    def expand(self, rejects):
        """Adds the stage."""
        return (
            rejects.pipeline
            | beam.Create([self.writer])
            | beam.Map(DatasetWriter.write_rejects, AsIter(rejects))
        )


class PlanLayout(beam.CombineFn):
    """Adds up the sequences and their bytes by split and number of features; gives a `Layout`."""

    def __init__(self, options: PreprocessOptions):
        self._options = options

    def create_accumulator(self):
        """Starts with two empty sums, of sequences and of bytes."""
        return collections.Counter(), collections.Counter()

    def add_input(self, accumulator, sequence: Sequence):
        """Adds one sequence."""
        counts, num_bytes = accumulator
        group = draw_split(sequence.key, self._options), sequence.values.shape[1]
        counts[group] += 1
        num_bytes[group] += measure(sequence)
        return accumulator

    def merge_accumulators(self, accumulators):
        """Adds sums of parts."""
        counts, num_bytes = self.create_accumulator()
        for part_counts, part_bytes in accumulators:
            counts.update(part_counts)
            num_bytes.update(part_bytes)
        return counts, num_bytes

    def extract_output(self, accumulator) -> Layout:
        """Plans."""
        return plan_layout(*accumulator, self._options)


@beam.typehints.with_output_types(tuple[bytes, object])
class _ReadFragmentsFn(beam.DoFn):
    def __init__(self, options: PreprocessOptions):
        self._options = options

    def process(self, source: Source):
        try:
            for item in read_source(source, self._options):
                yield TaggedOutput("rejects", item) if isinstance(item, Reject) else item
        except UnreadableInputError as error:
            yield TaggedOutput("failures", str(error))


@beam.typehints.with_output_types(Sequence)
class _AssembleFn(beam.DoFn):
    def process(self, keyed):
        key, fragments = keyed
        fragments = list(fragments)
        for result in assemble(key, fragments):
            yield TaggedOutput("rejects", result) if isinstance(result, Reject) else result
        yield TaggedOutput("counts", count_units(fragments))


@beam.typehints.with_output_types(tuple[tuple[str, int], Sequence])
class _DrawShardFn(beam.DoFn):
    def __init__(self, options: PreprocessOptions):
        self._options = options

    def process(self, sequence: Sequence, layout: Layout):
        num_features = sequence.values.shape[1]
        if num_features != layout.num_features:
            rule = f"a timestep must hold {layout.num_features} values as in most sequences, "
            rule += f"got {num_features}."
            yield TaggedOutput("rejects", sequence.reject("wrong_num_features", rule))
            return
        split = draw_split(sequence.key, self._options)
        shard = draw_shard(sequence.key, layout.num_shards[split], self._options)
        yield (split, shard), sequence


@beam.typehints.with_output_types(ShardSummary)
class _WriteShardFn(beam.DoFn):
    def __init__(self, writer: DatasetWriter):
        self._writer = writer

    def process(self, keyed, layout: Layout):
        (split, shard), sequences = keyed
        yield self._writer.write_shard(split, shard, sequences, layout)
