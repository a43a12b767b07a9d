"""The package as a user gets it: the wheel, beside code whose names are those of our folders."""

import ast
import configparser
import graphlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import venv
import zipfile

import pytest
import setuptools

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the report in HTML is made of.
PAGE_FILES = ("page.html", "page.js", "style.css")
# Who may import whom: cli, estimators -> beam_jobs, model -> pipeline.
MAY_IMPORT = {
    "pipeline": set(),
    "model": {"pipeline"},
    "beam_jobs": {"pipeline"},
    "cli": {"beam_jobs", "model", "pipeline"},
    "estimators": {"beam_jobs", "model", "pipeline"},
}


def run(*command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_pip(command, *args, cwd):
    options = ("--no-deps", "--no-index", "--disable-pip-version-check")
    return run(sys.executable, "-m", "pip", command, *options, *args, cwd=cwd)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, as setuptools builds in the folder that it is given."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "padless", ignore=ignored)


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run_pip("wheel", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def unpacked_sdist(source, tmp_path_factory):
    """The folder that a source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    code = "import sys, setuptools.build_meta as build; build.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, folder, cwd=source)
    (file,) = folder.iterdir()
    shutil.unpack_archive(file, folder, filter="data")
    return folder / file.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder where the wheel is installed."""
    target = tmp_path_factory.mktemp("site")
    run_pip("install", "--target", target, wheel, cwd=target)
    return target


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory):
    """A working directory with the user's own modules, none of which padless may import."""
    folder = tmp_path_factory.mktemp("user")
    for name in (
        "model.py",
        "pipeline.py",
        "estimators.py",
        "beam_jobs/__init__.py",
        "cli/__init__.py",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise ImportError('This is the user\\'s own.')\n")
    return folder


@pytest.fixture(scope="module")
def run_installed(installed, users_folder):
    """Runs code in the user's folder, with the wheel before any other copy of padless."""

    def run_code(code):
        code = textwrap.dedent(code)
        return run(sys.executable, "-c", code, cwd=users_folder, PYTHONPATH=str(installed))

    return run_code


@pytest.fixture(scope="module")
def imported(run_installed):
    """What is in `sys.modules`, name -> file, when every module of padless is imported."""
    code = """
        import importlib, json, pkgutil, sys
        for package in ("pipeline", "beam_jobs", "model", "cli", "estimators"):
            package = importlib.import_module(f"padless.{package}")
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
        print(json.dumps({k: getattr(v, "__file__", None) for k, v in sys.modules.items()}))
    """
    return json.loads(run_installed(code))


def module_name(file, root=ROOT):
    """The name that a file of the checkout is imported by."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(["padless", *(part for part in parts if part != "__init__")])


def test_setup_cfg_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    options = config["options"]
    files = [file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("__init__.py")]
    assert options["packages"].split() == ["padless", *sorted(map(module_name, files))]
    folders = [f"padless.{folder} = {folder}" for folder in sorted(MAY_IMPORT)]
    assert options["package_dir"].strip().splitlines() == ["padless = padless", *folders]


def test_every_folder_with_code_is_a_package():
    files = [file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("*.py")]
    assert {file.parent for file in files if not (file.parent / "__init__.py").exists()} == set()


def test_wheel_holds_padless_and_nothing_else(wheel, source):
    files = {file for file in zipfile.ZipFile(wheel).namelist() if not file.endswith("/")}
    code = {file for file in files if ".dist-info/" not in file}
    assert code == {"padless/__init__.py", "padless/py.typed"} | {
        f"padless/{file.relative_to(source)}"
        for folder in MAY_IMPORT
        for file in (source / folder).glob("**/*")
        if file.is_file()
    }
    assert {f"padless/model/html_report/{name}" for name in PAGE_FILES} < code
    assert {file.split("/")[0].partition("-")[0] for file in files} == {"padless"}


def test_sdist_builds_the_same_wheel(unpacked_sdist, wheel, tmp_path):
    run_pip("wheel", "--no-build-isolation", "-w", tmp_path, unpacked_sdist, cwd=tmp_path)
    (rebuilt,) = tmp_path.iterdir()
    assert rebuilt.name == wheel.name
    contents = [
        {info.filename: info.CRC for info in zipfile.ZipFile(file).infolist()}
        for file in (rebuilt, wheel)
    ]
    assert contents[0] == contents[1]


def test_editable_install_is_the_checkout(source, users_folder, tmp_path):
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    options = ("--no-deps", "--no-build-isolation", "--editable")
    # The build needs setuptools, which the new environment takes from this one.
    packages = str(pathlib.Path(setuptools.__file__).parents[1])
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", *options)
    run(*pip, source, cwd=tmp_path, PYTHONPATH=packages)
    # What they need is not there, so they are found and not imported.
    code = """
        from importlib.util import find_spec
        from pathlib import Path
        print(find_spec("padless").origin)
        for name in ("beam_jobs", "cli", "estimators", "model", "pipeline", "cli.main"):
            print(find_spec(f"padless.{name}").origin)
        page = Path(find_spec("padless.model").origin).parent / "html_report" / "page.html"
        print(page if page.is_file() else "missing")
    """
    printed = run(python, "-c", textwrap.dedent(code), cwd=users_folder, PYTHONPATH="")
    folders = ("padless", "beam_jobs", "cli", "estimators", "model", "pipeline")
    found = [f"{folder}/__init__.py" for folder in folders]
    found += ["cli/main.py", "model/html_report/page.html"]
    assert printed.split() == [str(source / name) for name in found]


def test_wheel_is_imported_beside_the_users_modules(imported, installed):
    files = {name: file for name, file in imported.items() if name.startswith("padless.")}
    assert files.keys() >= {f"padless.{folder}" for folder in MAY_IMPORT}
    for name, file in files.items():
        assert pathlib.Path(file).is_relative_to(installed), name


def test_no_folder_is_imported_under_its_own_name(imported):
    assert not imported.keys() & MAY_IMPORT.keys()


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_the_users_modules_would_shadow_top_level_packages(run_installed, users_folder, folder):
    code = f"import importlib.util; print(importlib.util.find_spec({folder!r}).origin)"
    assert pathlib.Path(run_installed(code).strip()).is_relative_to(users_folder)


def test_wheel_plans_batches_beside_the_users_modules(run_installed):
    code = """
        from padless.pipeline import plan_batches
        print(plan_batches({7: 65, 9: 2}, batch_size=64).bucket_batch_sizes.tolist())
    """
    assert run_installed(code) == "[33, 32, 2]\n"


def test_wheel_brings_the_command(installed, users_folder):
    command = installed / "bin" / "padless"
    printed = run(command, "--help", cwd=users_folder, PYTHONPATH=str(installed))
    for subcommand in ("preprocess", "train", "embed", "score"):
        assert subcommand in printed


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("padless.pipeline", ("tensorflow", "apache_beam")),
        ("padless.model", ("tensorflow", "keras")),
        ("padless.beam_jobs.options", ("tensorflow", "apache_beam")),
        ("padless.beam_jobs.preprocess_job", ("tensorflow",)),
        ("padless.beam_jobs.readers.inputs", ("tensorflow", "tensorflow_datasets")),
        ("padless.estimators", ("tensorflow", "apache_beam")),
    ],
)
def test_import_leaves_out_what_it_does_not_need(run_installed, module, heavy):
    code = f"import sys, {module}; print(*sys.modules.keys() & {set(heavy)})"
    assert run_installed(code) == "\n"


def test_help_leaves_out_what_it_does_not_need(run_installed):
    code = """
        import contextlib, sys
        from padless.cli.main import main
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):
            main(["--help"])
        print(*sys.modules.keys() & {"tensorflow", "keras", "apache_beam"})
    """
    assert run_installed(code) == "\n"


# The rooms of each folder, modules or wings, and what each may import of it: the rooms named and
# those below them.
ROOMS = {
    "pipeline": {
        "figures": {"protected", "written_whole"},
        "lazy_names": set(),
        "log_filters": set(),
        "zlib_stream": set(),
        "progress": set(),
        "paths": set(),
        "protected": {"dataset"},
        "claims": set(),
        "full_disk": set(),
        "parent_process": set(),
        "written_whole": {"claims", "full_disk", "paths"},
        "tensorflow_start": set(),
        "suggestions": set(),
        "wording": set(),
        "dataset": {"paths", "suggestions", "wording"},
        "planning": {"dataset", "figures"},
        "batching": {"planning", "progress"},
        "diagnosis": {"planning", "progress", "wording", "zlib_stream"},
        "verification": {"dataset", "progress", "wording"},
    },
    "model": {
        "kernels": set(),
        "network": {"kernels"},
        "run_directory": {"network"},
        "scoring": {"run_directory"},
        "onnx_export": {"scoring"},
        "explanation": {"scoring"},
        "reporting": {"explanation"},
        "html_report": {"reporting"},
        "training": {"reporting"},
        "comparison": {"training"},
    },
    "beam_jobs": {
        "columns": set(),
        "text_format": set(),
        "options": {"columns", "text_format"},
        "fragments": {"columns", "text_format"},
        "bombs": {"fragments"},
        "files": {"bombs"},
        "engine": set(),
        "readers": {"engine", "files", "options"},
        "assembly": {"files", "options"},
        "output": {"assembly"},
        "stages": {"engine", "output", "readers"},
        "write_dataset": {"stages"},
        "preprocess_job": {"stages"},
        "raw_input": {"preprocess_job"},
        "shard_job": {"raw_input"},
    },
    "estimators": {
        "arrays": set(),
        "tables": set(),
        "sequences": {"arrays", "tables"},
        "trained": {"sequences"},
        "archive": {"trained"},
        "fitting": {"trained"},
        "base": {"archive", "fitting"},
        "detector": {"base"},
        "encoder": {"base"},
    },
}


def imported_names(file, package):
    """Names every module that a file imports, wherever in it, or names in a string for later."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(relative, package)
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"padless(\.\w+)+", str(node.value)):
            yield node.value


def files_of(folder, root=ROOT):
    return sorted((root / folder).rglob("*.py"))


def imports_of(file, root=ROOT):
    """Lists the modules and names of padless that a file imports, as tuples without `padless`."""
    package = ".".join(["padless", *file.relative_to(root).parent.parts])
    for name in imported_names(file, package):
        top, *rest = name.split(".")
        assert top not in MAY_IMPORT, f"{file}: {name} lacks `padless.`"
        if top == "padless" and rest:
            yield tuple(rest)


def rooms_below(folder, room):
    """Lists the rooms that a room may import, itself among them."""
    below = ROOMS[folder][room]
    return {room}.union(*(rooms_below(folder, other) for other in below))


def find_upward_imports(folder, root=ROOT):
    """Lists the imports that run to a room that is not below the file's own."""
    found = []
    for file in files_of(folder, root):
        room = file.relative_to(root / folder).with_suffix("").parts[0]
        for name in imports_of(file, root):
            inside = room != "__init__" and name[0] == folder
            if inside and (len(name) < 2 or name[1] not in rooms_below(folder, room)):
                found.append(f"{file.relative_to(root)}: padless.{'.'.join(name)}")
    return found


def find_circle(root=ROOT):
    """Returns the modules that import each other in a circle, or an empty list."""
    modules = {
        tuple(
            part for part in file.relative_to(root).with_suffix("").parts if part != "__init__"
        ): file
        for folder in MAY_IMPORT
        for file in files_of(folder, root)
    }
    graph = {
        module: {
            imported
            for name in imports_of(file, root)
            for imported in (name if name in modules else name[:-1],)
            if imported in modules and imported != module
        }
        for module, file in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [".".join(module) for module in error.args[1]]
    return []


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_dependencies_run_one_way(folder):
    for file in files_of(folder):
        for name in imports_of(file):
            assert name[0] in MAY_IMPORT[folder] | {folder}, f"{file}: {name}"


@pytest.mark.parametrize("folder", ROOMS)
def test_every_room_has_its_place(folder):
    rooms = {path.stem for path in (ROOT / folder).iterdir() if not path.stem.startswith("_")}
    assert rooms == ROOMS[folder].keys()


@pytest.mark.parametrize("folder", ROOMS)
def test_rooms_depend_one_way(folder):
    assert find_upward_imports(folder) == []


def test_no_modules_import_each_other():
    assert find_circle() == []


@pytest.mark.parametrize("folder", [folder for folder in MAY_IMPORT if folder != "cli"])
def test_only_the_command_line_prints(folder):
    printing = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files_of(folder)
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print")
        or (isinstance(node, ast.Attribute) and node.attr in ("stdout", "__stdout__"))
    ]
    assert printing == []


# Keras passes their arguments by position.
OVERRIDDEN = {"compute_loss"}


def find_style_faults(folder, root=ROOT):
    """Lists the asserts, and the functions with more than four positional parameters.

    A function inside of another may have more: what it is given to calls it by position.
    """
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for file in files_of(folder, root):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        functions = [node for node in nodes if isinstance(node, kinds)]
        inner = {node for function in functions for node in ast.walk(function) if node != function}
        found += [(file, node) for node in nodes if isinstance(node, ast.Assert)]
        for function in functions:
            names = [arg.arg for arg in function.args.posonlyargs + function.args.args]
            most = 5 if names[:1] in (["self"], ["cls"]) else 4
            if len(names) > most and function not in inner and function.name not in OVERRIDDEN:
                found.append((file, function))
    return [f"{file.relative_to(root)}:{node.lineno}" for file, node in found]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_no_assert_and_at_most_four_positional_parameters(folder):
    assert find_style_faults(folder) == []


def checkout_with(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "from padless.pipeline.batching.batches import equal_length_batches",
        "from padless.pipeline.batching import batches",
        "from padless.pipeline import batching",
        "from padless.pipeline import plan_batches",
        "from ..batching import batches",
        "from .. import batching",
        "import padless.pipeline.batching",
        "import_module('padless.pipeline.batching')",
        "def later():\n    from padless.pipeline.batching import batches",
        "if TYPE_CHECKING:\n    from padless.pipeline.batching import batches",
    ],
)
def test_an_upward_import_is_found(tmp_path, line):
    root = checkout_with(tmp_path, {"pipeline/planning/plan.py": line})
    assert len(find_upward_imports("pipeline", root)) == 1


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("def f(a, b, c, d, *more, e): pass", 0),
        ("def f(a, b, c, d, e): pass", 1),
        ("def f(a, b, /, c, d, e=1): pass", 1),
        ("class A:\n def f(self, a, b, c, d): pass\n def g(self, a, b, c, d, e): pass", 1),
        ("def f(a):\n def g(a, b, c, d, e): pass\n assert a", 1),
    ],
)
def test_faults_of_style_are_found(tmp_path, code, count):
    root = checkout_with(tmp_path, {"pipeline/x.py": code})
    assert len(find_style_faults("pipeline", root)) == count


def test_a_circle_is_found(tmp_path):
    files = {
        "pipeline/planning/plan.py": "from padless.pipeline.planning.describe import describe_plan",
        "pipeline/planning/describe.py": "def f():\n    from padless.pipeline.planning import plan",
    }
    root = checkout_with(tmp_path, files)
    assert sorted(set(find_circle(root))) == [
        "pipeline.planning.describe",
        "pipeline.planning.plan",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "import padless.cli.main",
        "from padless import cli",
        "from padless.cli import main",
        "from ..cli import main",
        "from .. import cli",
        "importlib.import_module('padless.cli')",
        "def later():\n    from padless.cli.main import main",
    ],
)
def test_dependencies_are_seen_however_they_are_written(tmp_path, line):
    root = checkout_with(tmp_path, {"pipeline/x.py": line})
    assert [name[0] for name in imports_of(root / "pipeline" / "x.py", root)] == ["cli"]
