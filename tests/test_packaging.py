"""What the package says about itself agrees: bounds, pinned versions, versions of Python and of the release, names of files."""

from __future__ import annotations

import configparser
import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import hattriq_cirq as hq

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
PYTHONS = re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)


def requirements(text: str) -> list[Requirement]:
    """Return the requirements of a list, one a line, without comments."""
    return [Requirement(line) for line in re.findall(r"^([^#\s].*)$", text, re.MULTILINE)]


BOUNDS = [requirement for name in ("test", "docs") for requirement in requirements(SETUP["options.extras_require"][name])]
BOUNDS += requirements(SETUP["options"]["install_requires"])
PINNED = requirements((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def pinned_version(name: str, python: str) -> Version | None:
    """Return the version of a package in constraints.txt for Linux and the last release of a version of Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.99", "sys_platform": "linux", "os_name": "posix"}
    found = [each for each in PINNED if each.name == name and (each.marker is None or each.marker.evaluate(environment))]
    assert len(found) <= 1, f"{name} has several versions for Python {python}: {[str(each) for each in found]}"
    return Version(str(found[0].specifier).removeprefix("==")) if found else None


@pytest.mark.parametrize("python", PYTHONS)
def test_pinned_versions_are_within_the_bounds(python: str) -> None:
    assert len(BOUNDS) > 30
    wrong = {}
    for bound in BOUNDS:
        version = pinned_version(bound.name, python)
        if version is None or version not in bound.specifier:
            wrong[str(bound)] = str(version)
    assert wrong == {}, "run `make constraints`"


def test_every_requirement_has_a_lower_bound() -> None:
    extras = [requirement for text in SETUP["options.extras_require"].values() for requirement in requirements(text)]
    assert [str(each) for each in [*BOUNDS, *extras] if not any(one.operator == ">=" for one in each.specifier)] == []


def test_versions_of_python_agree() -> None:
    assert SETUP["options"]["python_requires"] == f">={PYTHONS[0]}"
    workflow = (ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8")
    assert re.findall(r"tests-(3\.\d+)", workflow) == PYTHONS
    ruff = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'target-version = "py{PYTHONS[0].replace(".", "")}"' in ruff


def test_version_is_that_of_the_citation_and_of_the_changelog() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [hq.__version__]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", hq.__version__]


@pytest.mark.parametrize("group", ["console_scripts", "hattriq_cirq.mitigations"])
def test_entry_points_lead_to_objects(group: str) -> None:
    declared = dict(re.findall(r"^(\S+) = (\S+)$", SETUP["options.entry_points"][group], re.MULTILINE))
    ours = {each.name: each for each in entry_points(group=group) if each.value == declared.get(each.name)}
    assert ours.keys() == declared.keys(), "install the checkout again"
    assert all(callable(each.load()) for each in ours.values())


def test_names_of_files_are_allowed_on_windows() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8")
    if listed.returncode:
        pytest.skip("not a checkout")
    names = [name for name in listed.stdout.split("\0") if name]
    assert len({name.lower() for name in names}) == len(names)
    reserved = re.compile(r"(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)|[<>:\"|?*\\]|[. ](/|$)", re.IGNORECASE)
    assert [name for name in names if reserved.search(name) or len(name) > 150] == []
