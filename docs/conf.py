"""Sphinx configuration: `python -m sphinx -W docs docs/_build/html` with the `docs` extra installed."""

import warnings
from importlib.metadata import version as installed_version

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sklearn.exceptions import ConvergenceWarning

project = "sklearn_logreg"
author = "The sklearn_logreg developers"
copyright = f"2026, {author}"
version = release = installed_version("sklearn-logreg")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(plot_|quickstart)",
    "ignore_pattern": r"__init__\.py",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e6,
}
# The examples show fits that end early on purpose.
warnings.filterwarnings("ignore", category=ConvergenceWarning)

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}
html_sidebars = {"**": []}
html_static_path = ["_static"]
html_css_files = ["formulas.css"]


def inline_math(translator, node):
    """Write a formula as MathML, which browsers show without a script from elsewhere."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block_math(translator, node):
    """Write a displayed formula as MathML."""
    translator.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the math renderer."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
