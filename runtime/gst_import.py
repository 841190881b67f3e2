"""GStreamer through gi: packages of the system, which a virtual environment does not see by itself."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from types import ModuleType

from edgedeblur import ExitCode, Failure

SYSTEM_PACKAGES = "/usr/lib/python3/dist-packages"  # where Debian, Ubuntu and JetPack keep gi
PACKAGES = {
    "Gst": "python3-gi gir1.2-gstreamer-1.0 gstreamer1.0-plugins-good",
    "GstVideo": "python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good",
    "GstRtspServer": "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly",
}
_importing = threading.Lock()


def import_gst(name: str = "Gst") -> ModuleType:
    """A library by its name in gi, with GStreamer 1.x started: `Gst`, `GLib`, `GstRtspServer`, ….

    Raises: Failure (ENVIRONMENT) where it is not installed, with what to install.
    """
    with _importing, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gi's way of importing is an old one, of which Python warns
        try:
            gi = _import_gi()
            gi.require_version("Gst", "1.0")
            gi.require_version(name, "2.0" if name == "GLib" else "1.0")
            gst = importlib.import_module("gi.repository.Gst")
            library = importlib.import_module(f"gi.repository.{name}")
        except (ImportError, ValueError) as error:
            raise Failure(
                f"{name} of GStreamer cannot be used from Python ({error}); install it with: sudo apt install "
                f"{PACKAGES.get(name, PACKAGES['Gst'])}. A virtual environment sees it if it is made with the system's "
                "Python 3 (python3 -m venv)",
                ExitCode.ENVIRONMENT,
            ) from error
        if not gst.is_initialized():
            gst.init(None)
    return library


def _import_gi() -> ModuleType:
    """gi, also from the system's folder, which is left out of the path again: no other package shall come from it."""
    try:
        return importlib.import_module("gi")
    except ImportError:
        sys.path.append(SYSTEM_PACKAGES)
        try:
            return importlib.import_module("gi")
        finally:
            sys.path.remove(SYSTEM_PACKAGES)
