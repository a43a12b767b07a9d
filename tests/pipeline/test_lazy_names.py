"""Names that are imported when first used, on a package that no other test knows."""

import sys
import types

import pytest

from padless.pipeline.lazy_names import lazy_names


@pytest.fixture
def package(monkeypatch):
    """A package with a name that needs a start and one that does not; lists its starts."""
    package = types.ModuleType("lazy_package")
    package.__all__ = ["quote", "sqrt"]
    package.starts = []
    monkeypatch.setitem(sys.modules, package.__name__, package)
    package.__getattr__, package.__dir__ = lazy_names(
        package.__name__,
        light={"quote": "urllib.parse"},
        heavy={"sqrt": "math"},
        start=lambda: package.starts.append("started"),
    )
    return package


def test_a_name_is_imported_once_and_kept(package):
    assert "quote" not in vars(package)
    assert package.quote("a b") == "a%20b"
    assert vars(package)["quote"] is package.quote


def test_only_a_heavy_name_is_started_first(package):
    assert (package.quote("a"), package.starts) == ("a", [])
    assert (package.sqrt(4), package.starts) == (2, ["started"])


def test_names_are_listed_before_their_first_use(package):
    assert {"quote", "sqrt", "starts", "__all__"} <= {*dir(package)}
    assert dir(package) == sorted(dir(package))


def test_an_unknown_name_starts_nothing(package):
    with pytest.raises(AttributeError, match="module 'lazy_package' has no attribute 'nothing'"):
        _ = package.nothing
    assert package.starts == []
