"""Checks and measures what must hold on a GPU, on the first one of this machine.

    python benchmarks/gpu.py [--units 64] [--batch 64] [--steps 20] [--rounds 20] [--device GPU]
        [--stages kernels results memory speed]

- cuDNN: the operations of the graphs that ran, of one packed training step and of inference: every
  recurrent layer is one operation forward, and one backward in training, without a loop over
  timesteps;
- traces: one per step for all lengths;
- the CPU's results: losses, change of the weights, embeddings, errors, against Keras' loop on a
  CPU, without TF32;
- two logical GPUs on the one card: the same results as one;
- memory: no step takes more than the largest batches, which come first; if these do not fit, a
  message says what to do;
- speed: a step of the trainer against one of a bare loop over the same layers of Keras, and a step
  of many lengths against one where all are as long as its longest, in turns; medians of the rounds
  without the first one.

The exit code is 0 if all checks hold, 1 if some do not, 2 if TensorFlow sees no GPU. `--device CPU`
is a dry run: what needs no GPU is checked on logical CPU devices, with at most 64 units, as more
run in a loop on a CPU.
"""

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import os
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gpu_runs
import numpy as np
import tensorflow as tf

STAGES = ("kernels", "results", "memory", "speed")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# Of a run of recurrent sums in float32; TF32 would leave about 1e-3.
TOLERANCE = 1e-4
MOST_TIME = 1.25
MEMORY_SLACK = 1.05
LOGICAL_MEGABYTES = 2048
# Too few for the largest of the batches there, enough for the weights.
TOO_FEW_MEGABYTES = 96
FUSED = {"GPU": ("CudnnRNNV3", "CudnnRNNBackpropV3"), "CPU": ("BlockLSTM", "BlockLSTMGrad")}
# Holds the outputs of Keras' loop.
LOOP = "TensorListReserve"


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """A line of the table.

    Attributes:
        name: what is checked.
        measured: what was found.
        holds: whether the result is as it must be; None if that cannot be checked here.
    """

    name: str
    measured: str
    holds: bool | None


def in_fresh_process(function, *args):
    """Runs a function in a new process, where no device is in use, and returns its result."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def check_kernels(setting):
    """Checks that recurrent layers, both directions among them, run as one operation each."""
    cells = ("lstm", "gru") if setting.device == "GPU" else ("lstm",)
    for cell in cells:
        for precision in PRECISIONS:
            kind = dataclasses.replace(setting, cell=cell, precision=precision, bidirectional=True)
            ran = in_fresh_process(gpu_runs.operations_run, kind)
            yield _compare_kernels(f"{cell}, {precision}", ran, setting)


def _compare_kernels(name, ran, setting):
    forward, backward = FUSED[setting.device]
    # The encoder reads in two directions; the decoder in one, on a CPU as two slices of each band.
    count, is_gpu = (3, True) if setting.device == "GPU" else (4, False)
    expected = [{forward: count, backward: count}, {forward: count}]
    operations = (forward, backward, *([LOOP] if is_gpu else []))
    found = [{op: counts[op] for op in operations if counts[op]} for counts in ran]
    shown = [" ".join(f"{n} {op}" for op, n in counts.items()) or "none" for counts in found]
    measured = f"training {shown[0]}; inference {shown[1]}"
    return Check(f"one operation a layer: {name}", measured, found == expected)


def check_results(setting, steps):
    """Checks one trace, the results of a CPU, and those of two logical devices."""
    # The loop is another implementation than that of either device: a dry run compares too.
    settings = {
        "Keras' loop on the CPU": dataclasses.replace(setting, device="CPU", by_loop=True),
        "one device": setting,
        "two logical devices": dataclasses.replace(
            setting, replicas=2, memory_megabytes=LOGICAL_MEGABYTES
        ),
    }
    runs = {name: in_fresh_process(gpu_runs.train, s, steps) for name, s in settings.items()}
    traces = [traces for _, traces in runs.values()]
    yield Check("traces for all lengths", str(max(traces)), max(traces) == 1)
    names = list(runs)
    for ours, other in ((names[1], names[0]), (names[2], names[1])):
        yield _compare_results(f"{ours} against {other}", runs[ours][0], runs[other][0])


def _compare_results(name, ours, other):
    """Compares results by the norm of their difference, relative to the norm of the expected."""
    apart = {
        key: float(np.linalg.norm(ours[key] - other[key]) / np.linalg.norm(other[key]))
        for key in other
    }
    worst = max(apart, key=apart.get)
    return Check(name, f"at most {apart[worst]:.1e} apart ({worst})", apart[worst] <= TOLERANCE)


def check_memory(setting):
    """Checks that memory runs out in the largest batches, which come first, or never."""
    names = "memory after the largest batches", "batches that do not fit"
    if setting.device != "GPU":
        yield from (Check(name, "only a GPU counts its memory", None) for name in names)
        return
    first, later = in_fresh_process(gpu_runs.peak_megabytes, setting)
    measured = f"{first:.0f} MiB, later {later:.0f} MiB"
    yield Check(names[0], measured, later <= MEMORY_SLACK * first)
    small = dataclasses.replace(setting, units=256, memory_megabytes=TOO_FEW_MEGABYTES)
    told = in_fresh_process(gpu_runs.run_out_of_memory, small)
    yield Check(names[1], told or "they did fit", told is not None)


def check_speed(setting, rounds):
    """Compares a step with a bare loop's, and one of many lengths with one of the longest alone."""
    for precision in PRECISIONS:
        kind = dataclasses.replace(setting, precision=precision)
        seconds = in_fresh_process(gpu_runs.speeds, kind, rounds)
        mixed, alike, bare = 1000 * np.median(seconds, axis=0)
        against_bare = np.median(seconds[:, 1] / seconds[:, 2])
        against_alike = np.median(seconds[:, 0] / seconds[:, 1])
        for name, measured, holds in (
            (
                "a step of one length",
                f"{alike:.1f} ms, bare {bare:.1f} ms, ratio {against_bare:.2f}",
                against_bare <= MOST_TIME,
            ),
            (
                "a step of many lengths",
                f"{mixed:.1f} ms, {against_alike:.2f} of one where all are as long as its longest",
                against_alike <= MOST_TIME,
            ),
        ):
            holds = bool(holds) if setting.device == "GPU" else None
            yield Check(f"{name}: {precision}", measured, holds)


def until_error(stage):
    """Runs the checks of a stage; one that raises fails, and the next stage goes on."""
    try:
        yield from stage
    except Exception as error:
        traceback.print_exc()
        yield Check(stage.__name__, f"{type(error).__name__}, see above", False)


def show(check):
    verdict = {True: "holds", False: "FAILS", None: "not applicable"}[check.holds]
    print(f"| {check.name} | {check.measured} | {verdict} |", flush=True)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("GPU", "CPU"), default="GPU")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64, help="sequences per batch, an even number")
    parser.add_argument("--steps", type=int, default=20, help="of training, to compare results")
    parser.add_argument("--rounds", type=int, default=20, help="to measure speed")
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    args = parser.parse_args(argv)
    if args.batch < 2 or args.batch % 2:
        parser.error(f"--batch must be an even number, got {args.batch}")
    return args


def main(argv=None):
    args = parse(argv)
    if args.device == "GPU" and not tf.config.list_physical_devices("GPU"):
        print("TensorFlow sees no GPU here; --device CPU is a dry run", file=sys.stderr)
        return 2
    setting = gpu_runs.Setting(args.device, args.units, args.batch)
    print("| check | measured | verdict |\n|---|---|---|")
    checks = []
    stages = {
        "kernels": check_kernels(setting),
        "results": check_results(setting, args.steps),
        "memory": check_memory(setting),
        "speed": check_speed(setting, args.rounds),
    }
    for name in args.stages:
        for check in until_error(stages[name]):
            show(check)
            checks.append(check)
    return int(any(check.holds is False for check in checks))


if __name__ == "__main__":
    sys.exit(main())
