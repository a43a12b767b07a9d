"""What the documentation names: modules, files, commands and options that exist."""

import argparse
import ast
import functools
import importlib
import pathlib
import re
import shlex

import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

import padless
from padless.cli.main import COMMANDS, _make_parser, main

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The changelog names what was.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if not path.is_symlink()
)
DEMO = "examples/japanese_vowels/demo.sh"
FOLDERS = "beam_jobs|benchmarks|cli|docs|estimators|examples|model|pipeline|tests"


def read(page):
    return (ROOT / page).read_text()


def find_names(text):
    """Finds what is named as a module, a class or a function of padless."""
    return set(re.findall(r"(?<![\w./-])padless(?:\.[A-Za-z_]\w*)+(?![\w/-])", text))


def find_paths(text):
    """Finds the files and folders of the repository that a text names."""
    found = re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w", text)
    return {path.rstrip(".") for path in found}


def find_imports(text):
    """Finds what the blocks of Python import from padless, as (module, name)."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("padless"):
                yield from ((node.module, alias.name) for alias in node.names)


def find_commands(text):
    """Finds calls of the command line, as (subcommand, options)."""
    text = re.sub(r"\\\n\s*", " ", text)
    for call in re.finditer(rf"\bpadless ({'|'.join(COMMANDS)})\b([^`\n#|;]*)", text):
        yield call[1], set(re.findall(r"(?<!\S)(--[a-z][\w-]*)", call[2]))


def find_lone_options(text):
    """Finds options that are named on their own, such as `--missing drop_timestep`."""
    return set(re.findall(r"`(--[a-z][a-z-]*)(?=[` =])", text))


def find_script_options(text):
    """Finds calls of the scripts of the repository, as (file, options)."""
    for call in re.finditer(r"python ((?:benchmarks|examples)/\w+\.py)([^`\n#|;]*)", text):
        yield call[1], set(re.findall(r"(?<!\S)(--[a-z][\w-]*)", call[2]))


def exists(name):
    """Checks whether a dotted name is that of a module, or of something in one."""
    parent, _, last = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return bool(parent) and exists(parent) and hasattr(importlib.import_module(parent), last)
    return True


@functools.cache
def options_of(command, in_bulk=False):
    """Lists the options of a subcommand, and where it is a job also those of Beam."""
    (subparsers,) = (action for action in _make_parser()._actions if action.dest == "command")
    options = set(subparsers.choices[command]._option_string_actions)
    return options | options_of_beam() if command == "preprocess" or in_bulk else options


@functools.cache
def options_of_beam():
    parser = argparse.ArgumentParser(conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return set(parser._option_string_actions)


@pytest.mark.parametrize("page", PAGES)
def test_names_exist(page):
    assert [name for name in sorted(find_names(read(page))) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_imports_of_the_examples_exist(page):
    names = {f"{module}.{name}" for module, name in find_imports(read(page))}
    assert [name for name in sorted(names) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    assert [path for path in sorted(find_paths(read(page))) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, DEMO])
def test_options_of_commands_exist(page):
    unknown = [
        (command, option)
        for command, options in find_commands(read(page))
        for option in sorted(options - options_of(command, "--output-directory" in options))
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_options_of_scripts_exist(page):
    unknown = [
        (script, option)
        for script, options in find_script_options(read(page))
        for option in sorted(options)
        if f'"{option}"' not in read(script)
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_options_named_alone_exist(page):
    known = set().union(*map(options_of, COMMANDS))
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    unknown = [
        option
        for option in sorted(find_lone_options(read(page)) - known)
        if f'"{option}"' not in scripts
    ]
    assert unknown == []


@pytest.fixture
def run_blocks(tmp_path, monkeypatch, capsys):
    """Runs the blocks of a page in their order, Python and calls of padless; returns the output."""
    monkeypatch.chdir(tmp_path)

    def run(page, languages="python", shorter=()):
        code = []
        for language, block in re.findall(rf"```({languages})\n(.*?)```", read(page), re.DOTALL):
            calls = block.replace("\\\n", " ").splitlines() if language == "sh" else []
            assert all(call.startswith("padless ") for call in calls)
            code += [f"assert main(shlex.split({call!r})[1:]) == 0" for call in calls] or [block]
        code = "\n".join(code)
        for written, shorter_one in shorter:  # what is run in its place, as it takes less time
            assert code.count(written) == 1
            code = code.replace(written, shorter_one)
        capsys.readouterr()
        exec(compile(code, page, "exec"), {"__name__": "__main__", "main": main, "shlex": shlex})
        return capsys.readouterr().out

    return run


def test_the_python_of_the_readme_runs(run_blocks, tmp_path):
    for name, file in {"runs.csv": "train.csv", "new_runs.csv": "test.csv"}.items():
        rows = read(f"examples/japanese_vowels/{file}")
        (tmp_path / name).write_text(rows.replace("key,time,", "run,t,", 1))
    shorter = [("(seed=1)", "(seed=1, epochs=1)"), ("epochs=5)", "epochs=1)")]
    run_blocks("README.md", shorter=shorter)
    for name, num_sequences in {"scores.parquet": 270, "new_scores.parquet": 370}.items():
        table = pq.read_table(tmp_path / name)
        assert table.num_rows == num_sequences
        assert not table.column("p_value").null_count


@pytest.mark.slow
def test_the_python_of_the_estimators_runs_and_prints_what_it_says(run_blocks):
    printed = run_blocks("docs/estimators.md")
    accuracy, predicted, worst, *_ = printed.splitlines()
    assert float(accuracy) > 0.9
    assert predicted.startswith("[-1 ")
    assert worst == "10"


def test_the_tutorial_runs_and_ends_as_it_says(run_blocks, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shorter = [("--epochs 30", "--epochs 15")]
    printed = run_blocks("docs/tutorial.md", "sh|python", shorter)
    assert "4,274 timesteps, 7,020 once they are padded: 1.64 times" in printed
    accuracy = float(re.search(r"([\d.]+) of the test utterances are given", printed)[1])
    found = float(re.search(r"AUROC of the ninth speaker: ([\d.]+)", printed)[1])
    assert accuracy > 0.95
    assert found > 0.8
    assert re.search(r"test/speaker\d/\d+: most of all at timestep \d+, c\d+", printed)
    assert (tmp_path / "report.html").stat().st_size > 2**20


def test_what_does_not_exist_is_found():
    text = """
    `padless.pipeline.planning.plan`, `padless.pipeline.plans.x`, `tests/cli/test_usage.py`,
    `docs/no.md`, `padless plan data --batch-size 64 --no-such 1`, `--never`
    ```sh
    padless preprocess x.csv --key-colum key \\
        --runner=PrismRunner --no_beam_option
    python benchmarks/order.py --epochs 3 --epoch 3
    ```
    """
    assert [name for name in find_names(text) if not exists(name)] == ["padless.pipeline.plans.x"]
    assert [path for path in find_paths(text) if not (ROOT / path).exists()] == ["docs/no.md"]
    unknown = [(name, options - options_of(name)) for name, options in find_commands(text)]
    assert unknown == [("plan", {"--no-such"}), ("preprocess", {"--key-colum", "--no_beam_option"})]
    assert find_lone_options(text) == {"--never"}
    assert list(find_script_options(text)) == [("benchmarks/order.py", {"--epochs", "--epoch"})]


def test_every_page_is_read():
    assert {"README.md", "docs/index.md", "docs/reference/model.md"} <= set(PAGES)
    found = {
        kind: sum(len(list(find(read(page)))) for page in PAGES)
        for kind, find in {"names": find_names, "paths": find_paths, "runs": find_commands}.items()
    }
    assert min(found.values()) > 20


def test_the_citation_has_the_version():
    assert f"\nversion: {padless.__version__}\n" in read("CITATION.cff")
