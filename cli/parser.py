"""The parser of the command line: help in groups, errors that name the option and suggest one."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from padless.pipeline.suggestions import find_similar

_SIMILAR = 0.7  # 1 is equal: `--bach-size` and `--batch-size` come to 0.95
_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<choices>.*)\)$")
_ABOUT_OPTIONS = re.compile(
    "unrecognized arguments|the following arguments are required|one of the arguments"
)


class Parser(argparse.ArgumentParser):
    """Parses a subcommand.

    Attributes:
        names: Python name -> option, for error messages: of what is named otherwise in Python.
        raw_actions: the options that only raw files have, where a dataset may be given instead.
    """

    def __init__(self, **options: Any):
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.names: dict[str, str] = {}
        self.raw_actions: list[argparse.Action] = []
        self._given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses as usual, and keeps the arguments to suggest others for those that are unknown."""
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exits with usage, message and what was probably meant."""
        if (choice := suggest_choice(message)) is not None:
            message += f" (did you mean {choice}?)"
        elif _ABOUT_OPTIONS.match(message):
            message += "".join(
                f" (got {given}: did you mean {meant}?)"
                for given, meant in self._suggest_options().items()
            )
        super().error(message)

    def options(self) -> dict[str, str]:
        """Returns the option of each name in the parsed arguments, as users write it."""
        return {a.dest: a.option_strings[0] for a in self._actions if a.option_strings}

    def _suggest_options(self) -> dict[str, str]:
        known = self._option_string_actions
        given = (token.partition("=")[0] for token in self._given if token.startswith("--"))
        return suggest((name for name in given if name not in known), known)


def suggest(given: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Returns the known name that is most similar to each name that is like one.

    Example:
        >>> suggest(["--bach_size", "--fly"], ["--batch-size", "--seed"])
        {'--bach_size': '--batch-size'}
    """
    known = list(known)
    found = {n: find_similar(n.replace("_", "-"), known, similarity=_SIMILAR) for n in given}
    return {name: similar for name, similar in found.items() if similar}


def suggest_choice(message: str) -> str | None:
    """Returns the choice that is most similar to the one that a message of argparse rejects.

    Example:
        >>> suggest_choice("argument COMMAND: invalid choice: 'tain' (choose from 'plan', 'train')")
        'train'
    """
    if (found := _CHOICE.search(message)) is None:
        return None
    choices = [choice.strip("'\"") for choice in found["choices"].split(", ")]
    return find_similar(found["given"], choices)


def name_options(parser: Parser, message: str, names: Mapping[str, str] | None = None) -> str:
    """Writes `--batch-size` for `batch_size`, and so on, in the message of an error.

    Args:
        parser: of the subcommand.
        message: names Python's arguments in backticks.
        names: Python name -> option, of further names.
    """
    known = parser.options() | parser.names | dict(names or {})
    return re.sub(r"`(\w+)`", lambda found: known.get(found[1], found[0]), message)


@contextlib.contextmanager
def options_checked(parser: Parser, names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Answers an option out of its range as bad usage, and names it as users write it."""
    try:
        yield
    except ValueError as error:
        parser.error(name_options(parser, str(error), names))


def add_option(
    group: argparse._ActionsContainer,
    flag: str,
    help: str,
    *,
    default: Any = None,
    is_optional: bool = False,
    **options: Any,
) -> None:
    """Adds an option, and its default to the help: also one of 0, or of on or off.

    Args:
        group: a parser, or a group of its arguments.
        flag: such as `--batch-size`.
        help: what it does. Where the default is None, it says what that means.
        default: the default. An option whose default is a bool gets a `--no-` form too.
        is_optional: whether the parsed arguments hold the option only where it is given, as its
            default is another where a run is resumed.
        options: of `add_argument`.
    """
    if isinstance(default, bool):
        options["action"] = argparse.BooleanOptionalAction
    kept = argparse.SUPPRESS if is_optional else default
    action = group.add_argument(flag, default=kept, **options)
    # Set here and not above, as versions of Python differ in what they add to it themselves.
    action.help = f"{help}{describe_default(default)}"


def defaults_of(*options: type) -> dict[str, Any]:
    """Returns the defaults of dataclasses of options, by name; those without one are left out.

    Example:
        >>> from padless.pipeline import Budget
        >>> defaults_of(Budget)
        {'batch_size': None, 'batch_timesteps': None}
    """
    fields = [field for one in options for field in dataclasses.fields(one)]
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def describe_default(value: Any) -> str:
    """Returns a default in brackets, or nothing if it is None.

    Example:
        >>> describe_default(0), describe_default(True), describe_default(None)
        (' (default: 0)', ' (default: on)', '')
        >>> describe_default((("train", 0.8), ("test", 0.2)))
        ' (default: train=0.8,test=0.2)'
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return f" (default: {'on' if value else 'off'})"
    if isinstance(value, tuple):
        value = ",".join(f"{name}={share}" for name, share in value)
    return f" (default: {value})"


def describe_examples(examples: Sequence[str]) -> str:
    """Lists examples as the end of a help."""
    return "\n".join(["examples:", *(f"  {example}" for example in examples)])
