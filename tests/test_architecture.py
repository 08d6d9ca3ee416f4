"""The layout keeps its word: imports go down, optional packages stay in one file each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_logreg

PACKAGE = Path(sklearn_logreg.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the bottom up; files of one level do not know one another.
LEVELS = [
    ["_result", "_targets"],
    ["_losses", "_penalties", "_sources"],
    ["_curvature"],
    ["_objective"],
    ["_solvers"],
    ["_preconditioner"],
    ["_certificate", "_export", "_progress", "_separation"],
    ["_estimator"],
    ["_display"],
]
LEVEL = {name: height for height, names in enumerate(LEVELS) for name in names}
# What a fresh installation has; all else is optional.
RUNTIME = {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "sklearn_logreg"}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def own_imports(path):
    """Modules of the package that a file imports, inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and path.parent != PACKAGE:
            continue  # another file of the same folder
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn_logreg"):
            yield from node.module.split(".")[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [a.name.split(".")[1] for a in node.names if a.name.startswith("sklearn_logreg.")]


def foreign_imports(path):
    """Packages, other than the standard library's, that a file imports, inside functions too."""
    for node in ast.walk(tree(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        yield from {name.split(".")[0] for name in names} - sys.stdlib_module_names


def test_the_levels_name_every_module():
    modules = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert set(LEVEL) == modules


@pytest.mark.parametrize("name", LEVEL)
def test_imports_go_down(name):
    for path in FILES:
        if name in (path.stem, path.parent.name):
            up = [other for other in own_imports(path) if LEVEL[other] >= LEVEL[name] and other != name]
            assert not up, f"{path.name} imports {up}, which is not below it"


def test_solvers_know_neither_data_nor_loss():
    assert set(own_imports(PACKAGE / "_solvers.py")) == {"_result"}
    assert set(foreign_imports(PACKAGE / "_solvers.py")) <= {"numpy"}


def test_the_estimator_does_no_numerical_work():
    forbidden = {"dot", "matmul", "linalg", "exp", "log", "log1p", "cholesky", "eigh"}
    for node in ast.walk(tree(PACKAGE / "_estimator.py")):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
            assert node.attr not in forbidden, f"line {node.lineno}: np.{node.attr}"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"line {node.lineno}: @"


def test_each_optional_package_is_imported_in_one_file():
    users = {}
    for path in FILES:
        for package in set(foreign_imports(path)) - RUNTIME:
            users.setdefault(package, []).append(path.name)
    assert all(len(files) == 1 for files in users.values()), users


def test_optional_packages_are_imported_late():
    # At the top level of a module only what a fresh installation has.
    for path in FILES:
        for node in tree(path).body:
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                names = (
                    {a.name.split(".")[0] for a in node.names}
                    if isinstance(node, ast.Import)
                    else {node.module.split(".")[0]}
                )
                assert names <= RUNTIME | sys.stdlib_module_names, f"{path.name}, line {node.lineno}: {names}"


def test_import_and_fit_need_no_optional_package():
    code = (
        "import sys, sklearn_logreg\n"
        "sklearn_logreg.LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 0])\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'matplotlib', 'pandas', 'polars', 'dask', 'skops'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stdout.split() in ([], ["pandas"]), done.stdout  # scikit-learn may load pandas by itself


def test_public_names():
    assert "LogisticRegression" in sklearn_logreg.__all__
    assert all(hasattr(sklearn_logreg, name) for name in sklearn_logreg.__all__)
    assert sklearn_logreg.__version__
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(tree(path)), path.name
