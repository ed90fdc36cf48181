"""Settings of the documentation site: `make docs` builds it into build/site."""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import re
import sys
from pathlib import Path

import nbclient
from docutils import nodes
from jupyter_cache.executors import utils as notebooks
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import TypeAliasForwardRef

import hattriq_cirq
from hattriq_cirq.cli import command_line_parser

_ROOT = Path(__file__).parents[1]
# tutorials run the commands of the environment that builds the site
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

project = "hattriq_cirq"
author = "The hattriq_cirq developers"
project_copyright = author
version = release = hattriq_cirq.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
html_theme = "furo"
html_title = f"hattriq_cirq {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# tutorials are executed when they or the library changed, and an error in one of them fails the build
_SOURCES = sorted(path for name in ("hattriq_cirq", "calibration", "experiments") for path in (_ROOT / name).rglob("*.py"))
_STATE = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
nb_execution_mode = "cache"
nb_execution_cache_path = str(_ROOT / "build" / "tutorials" / _STATE)
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
# a command's output comes in pieces of 100 characters; MyST-NB, which can merge them, would begin a new line at each
notebooks.executenb = functools.partial(nbclient.execute, coalesce_streams=True)

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

# docstrings: names of code stand between single backticks, types come from the annotations
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Array", "FloatArray", "IntArray", "BoolArray", "Observable")}
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # what Sphinx writes in a union of types
intersphinx_mapping: dict[str, tuple[str, None]] = {}  # a build needs no network

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

_CODE_SPAN = re.compile(r"(`[^`]*`)")


def escape_plain_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape what reStructuredText would read as markup: docstrings are plain text with code between single backticks."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            parts = _CODE_SPAN.split(line)
            parts[::2] = [re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)


class CommandLine(SphinxDirective):
    """A section for each command of `hattriq`, with its help."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        parser = command_line_parser()
        (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        sections: list[nodes.Node] = []
        for name, command in commands.choices.items():
            command.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100)
            section = nodes.section(ids=[f"hattriq-{name}"])
            section += nodes.title(text=f"hattriq {name}")
            section += nodes.literal_block(text=command.format_help(), language="text")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> None:
    """Register the escaping of docstrings, before their sections are read, and the directive of the command line."""
    app.connect("autodoc-process-docstring", escape_plain_text, priority=400)
    app.add_directive("command-line", CommandLine)
