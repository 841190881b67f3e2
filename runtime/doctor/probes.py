"""Probes: scripts for a Python of their own, since a package that is installed badly may crash or hang."""

from __future__ import annotations

# CUDA's driver, asked through ctypes: whether its library is there, the code of cuInit, the CUDA it serves, the GPU.
DRIVER = """
import ctypes, json
from runtime.sessions.gpu import DRIVER, find_gpu
try:
    cuda = ctypes.CDLL(DRIVER)
except OSError:
    print(json.dumps({"library": False}))
    raise SystemExit
code, version = cuda.cuInit(0), ctypes.c_int()
cuda.cuDriverGetVersion(ctypes.byref(version))
gpu = None if code else find_gpu()
cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
said = {"library": True, "code": code, "cuda": cuda}
print(json.dumps({**said, "name": gpu.name, "sm": gpu.sm} if gpu else said))
"""

CODECS = """
import av, json
def has(name, mode):
    try:
        av.Codec(name, mode)
    except ValueError:
        return False
    return True
wanted = {"libx264": "w", "mjpeg": "w", "h264": "r"}
print(json.dumps({name: has(name, mode) for name, mode in wanted.items()}))
"""

GSTREAMER = """
import json
from runtime.gst_import import import_gst
gst = import_gst("Gst")
names = ["nvarguscamerasrc", "nvv4l2decoder", "appsink"]
elements = [name for name in names if gst.ElementFactory.find(name)]
try:
    import_gst("GstRtspServer")
    server = True
except Exception:
    server = False
print(json.dumps({"version": gst.version_string(), "elements": elements, "rtsp_server": server}))
"""

OPENCV = """
import json, re, cv2
built = re.search(r"GStreamer:\\s+(\\S+)", cv2.getBuildInformation())
print(json.dumps({"version": cv2.__version__, "gstreamer": bool(built) and built[1] == "YES"}))
"""


def version_of(module: str) -> str:
    """A script that imports a module and prints its version."""
    return f"import json, {module} as module\nprint(json.dumps({{'version': module.__version__}}))"


PYCUDA = "import json, pycuda, pycuda.driver\nprint(json.dumps({'version': pycuda.VERSION_TEXT}))"
