"""The language of the code: docstrings, parameter entries, comments, messages, test names and examples."""

from __future__ import annotations

import ast
import doctest
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("hattriq_cirq", "calibration", "experiments", "benchmarks")
FILES = [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TEST_FILES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
WITH_EXAMPLES = [file for file in FILES if re.search(r"^\s*>>> ", (ROOT / file).read_text(), re.M)]
PUBLIC_MODULES = (
    "hattriq_cirq",
    "calibration",
    "hattriq_cirq.datasets",
    "hattriq_cirq.encoding",
    "hattriq_cirq.estimators",
    "hattriq_cirq.execution",
    "hattriq_cirq.faithfulness",
    "hattriq_cirq.attribution.baselines",
    "hattriq_cirq.attribution.decomposition",
    "hattriq_cirq.attribution.other_methods",
    "hattriq_cirq.reporting.runs",
    "hattriq_cirq.simulation.noise",
)
QUESTION = re.compile(r"(What|Whatever|Whether|How|Where|Which)\b")
PREPOSITION = re.compile(r"(of|in|by|from|for|to|with|at|on)\b", re.I)
AVOIDED = re.compile(r"\b(dear|mend|mended|told|blank|heard|worths?|torn|glimpse)\b", re.I)


def departures(code: str) -> Iterator[str]:
    """Yield every place where the docstrings, comments and messages of a file depart from the language."""
    for docstring in docstrings(code):
        if QUESTION.match(docstring):
            yield f"a docstring begins with a question word: {docstring.splitlines()[0]}"
        for entry, text in parameter_entries(docstring):
            if PREPOSITION.match(text) or text[:1].islower():
                yield f"a parameter entry is no noun phrase with a capital letter: {entry}: {text}"
    for text in (*messages(code), *comments(code)):
        yield from (f"{word!r} is avoided: {text}" for word in AVOIDED.findall(text))


def docstrings(code: str) -> Iterator[str]:
    """Yield the docstrings of a module, its classes and its functions."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def parameter_entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each entry of the sections Args and Attributes."""
    for section in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)*)", docstring, re.M):
        yield from re.findall(r"^    ([*\w, ]+(?: \(.*?\))?): (.*)$", section, re.M)


def messages(code: str) -> Iterator[str]:
    """Yield the string constants that hold a space: docstrings, messages and parts of f-strings."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def comments(code: str) -> Iterator[str]:
    """Yield the comments."""
    yield from (
        token.string for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type == tokenize.COMMENT
    )


def public_callables() -> dict[str, str]:
    """Return the path of each public function and class, and the file that defines it."""
    defined = {}
    for module in map(import_module, PUBLIC_MODULES):
        default = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", [name for name in default if not name.startswith("_")]):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                path, file = f"{value.__module__}.{value.__qualname__}", inspect.getsourcefile(value)
                assert file is not None
                defined[path] = Path(file).relative_to(ROOT).as_posix()
    return defined


PUBLIC = public_callables()


@pytest.mark.parametrize("file", FILES)
def test_language_of_docstrings_comments_and_messages(file: str) -> None:
    assert list(departures((ROOT / file).read_text())) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_callable_has_an_example(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert ">>> " in (getattr(import_module(module), attribute).__doc__ or "")


@pytest.mark.parametrize("file", WITH_EXAMPLES)
def test_examples_of_a_module_run(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("file", TEST_FILES)
def test_names_of_tests_avoid_the_same_words(file: str) -> None:
    functions = [node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)]
    assert "test_" in " ".join(functions)
    assert [name for name in functions if AVOIDED.search(name.replace("_", " "))] == []


@pytest.mark.parametrize(
    "code",
    [
        '"""What runs circuits."""',
        'def f(seed):\n    """Return a number.\n\n    Args:\n        seed: of the counts.\n    """',
        'def f(seed):\n    """Return a number.\n\n    Args:\n        seed: Of the counts.\n    """',
        'class A:\n    """A value.\n\n    Args:\n        seed: a random seed.\n    """',
        'class A:\n    """A command.\n\n    Args:\n        seed (N): of the counts.\n    """',
        'raise ValueError(f"{1} was torn")',
        "x = 1  # its worth",
        'def f():\n    """Return the blank baseline."""',
    ],
)
def test_departure_from_the_language_is_detected(code: str) -> None:
    assert len(list(departures(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        'def f(seed):\n    """Return a number.\n\n    Args:\n        seed: Random seed of the counts.\n    """',
        'def f(x):\n    """Return x.\n\n    Args:\n        x: (samples, features).\n\n    Note:\n        mean: of x.\n    """',
        "worthy = 1  # the worthiest",
        'names = ("blank", "torn")',
    ],
)
def test_plain_code_is_accepted(code: str) -> None:
    assert list(departures(code)) == []
