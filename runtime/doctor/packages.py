"""Python and the packages that every run needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.doctor import probes
from runtime.doctor.line import Line
from runtime.doctor.place import Place

NEEDED = {"numpy": (1, 26), "av": (15, 0), "onnxruntime": (1, 20)}
NAMES = {"numpy": "NumPy", "av": "PyAV", "onnxruntime": "ONNX Runtime"}
DEFORM_CONV = (1, 25)  # of ONNX Runtime
DEFORM_CONV_PYTHON = (3, 11)  # has wheels of it


def python(place: Place) -> Iterator[Line]:
    """The interpreter, and whether its packages are its own."""
    version = ".".join(map(str, place.python_version))
    config = place.prefix / "pyvenv.cfg"
    if not config.is_file():
        yield Line(
            "Python",
            "yellow",
            f"{version} ({place.python}), no virtual environment: packages of other programs may change under it",
            "python3 -m venv --system-site-packages .venv && .venv/bin/pip install -e .",
        )
        return
    sees = re.search(r"include-system-site-packages\s*=\s*true", config.read_text("utf-8", "replace"), re.IGNORECASE)
    yield Line("Python", "green", f"{version} in {place.prefix}, system's packages {'seen' if sees else 'not seen'}")


def packages(place: Place) -> Iterator[Line]:
    """NumPy, PyAV and ONNX Runtime: there, new enough, loadable."""
    for module, least in NEEDED.items():
        yield _package(place, module, least)


def codecs(place: Place) -> Iterator[Line]:
    """What this PyAV's FFmpeg can write and read."""
    answer = place.ask(probes.CODECS)
    if answer.error:
        return  # the package itself has a line
    lacks = [name for name, has in answer.said.items() if not has]
    again = place.pip("--force-reinstall --only-binary av av")
    if "h264" in lacks:
        yield Line(
            "codecs", "red", "PyAV's FFmpeg does not decode H.264: most videos and cameras cannot be read", again
        )
    elif lacks:
        yield Line(
            "codecs", "yellow", f"PyAV's FFmpeg lacks {', '.join(lacks)}: others are used, which look worse", again
        )
    else:
        yield Line("codecs", "green", "x264 and MJPEG are written, H.264 is read")


def _package(place: Place, module: str, least: tuple[int, int]) -> Line:
    subject, wanted = NAMES[module], place.pip(f"'{module}>={least[0]}.{least[1]}'")
    answer = place.ask(probes.version_of(module))
    if answer.is_missing:
        return Line(subject, "red", "not installed", wanted)
    if answer.error:
        return Line(subject, "red", f"cannot be loaded: {answer.error}", place.pip(f"--force-reinstall {module}"))
    version = str(answer.said["version"])
    if numbers(version) < least:
        return Line(subject, "red", f"{version} is too old", wanted)
    if module == "onnxruntime" and numbers(version) < DEFORM_CONV:
        return _without_deform_conv(place, version)
    return Line(subject, "green", version)


def _without_deform_conv(place: Place, version: str) -> Line:
    text = f"{version} has no DeformConv: the shipped weights run in their Gather form, others need --deform gather"
    if place.python_version < DEFORM_CONV_PYTHON:  # nothing newer can be had
        return Line(NAMES["onnxruntime"], "green", text)
    return Line(NAMES["onnxruntime"], "yellow", text, place.pip("--upgrade 'onnxruntime>=1.25'"))


def numbers(version: str) -> tuple[int, int]:
    """Major and minor of a version, whatever follows them."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
