"""Who may import what: the table of the architecture, held by machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("training", "export", "calibration", "engines", "runtime")
# `edgedeblur` (exit codes and the one error) is everybody's. The graph passes are torch-free and travel to the device.
MAY_IMPORT = {
    "runtime": set[str](),
    "training": set[str](),
    "export.passes": set[str](),
    "export": {"training", "export.passes"},
    "calibration": {"runtime", "export.passes"},
    "engines": {"runtime", "export.passes"},
}
NESTED = ("training", "calibration", "runtime")  # stages with folders of their own; `export.passes` is another package
NO_TORCH = ("runtime", "calibration", "engines", "export.passes")


def imported_modules(path: Path) -> set[str]:
    """Absolute module names that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def package_of(module: str) -> str:
    """The stage a module belongs to; `export.passes` counts as its own."""
    return "export.passes" if module.startswith("export.passes") else module.split(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_stages_import_only_what_the_table_allows(package: str) -> None:
    files = sorted((ROOT / package.replace(".", "/")).glob("**/*.py" if package in NESTED else "*.py"))
    assert files
    for path in files:
        stages = {package_of(module) for module in imported_modules(path)} & {*STAGES, "export.passes"}
        stages.discard("export" if package == "export.passes" else package)
        # `import export.passes` names `export` too; only the subpackage is meant.
        if "export.passes" in stages:
            stages.discard("export")
        assert stages - {package} <= MAY_IMPORT[package], f"{path.name} imports {stages}"


@pytest.mark.parametrize("package", NO_TORCH)
def test_importing_all_of_it_brings_no_torch(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    paths = sorted(folder.glob("**/*.py" if package in NESTED else "*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [name for name in names if not name.rsplit(".", 1)[1].startswith("__")]
    assert modules
    code = f"import importlib, sys\nfor m in {modules}: importlib.import_module(m)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_module_is_named_like_a_dependency() -> None:
    names = {path.stem for stage in STAGES for path in (ROOT / stage).rglob("*.py")}
    assert not names & {"onnx", "torch", "numpy", "av", "cv2", "onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda"}


def test_every_package_is_installed() -> None:
    """An editable install finds what the list forgot; a wheel does not."""
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for stage in STAGES
        for path in (ROOT / stage).rglob("__init__.py")
    }
    listed = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == found
