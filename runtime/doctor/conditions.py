"""Under which conditions it would run: power mode and clocks, memory and swap, disk, screen, ports."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator

from runtime.doctor.line import Line
from runtime.doctor.place import Place

GIB = 2**30
LITTLE_MEMORY, NO_MEMORY = 2 * GIB, GIB // 2
SMALL_BOARD = 17 * GIB  # of all memory; boards of 16 GB and less need swap to build engines
LITTLE_DISK, NO_DISK = 2 * GIB, GIB // 10
SWAP_FILE = (
    "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile && "
    "echo '/swapfile none swap sw 0 0' | sudo tee -a /etc/fstab"
)
PORTS = {8080: "http://@:8080", 8554: "rtsp://@:8554"}  # and the outputs that take them


def power(place: Place) -> Iterator[Line]:
    """A Jetson's power mode and clocks; nothing elsewhere."""
    if not place.is_jetson:
        return
    mode = place.facts["power_mode"]
    conf = place.text("etc/nvpmodel.conf")
    best = re.search(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(MAXN\S*)\s*>", conf, re.MULTILINE)
    if mode is None:
        yield Line("power mode", "grey", "cannot be read here; sudo nvpmodel -q tells it")
    elif best and "MAXN" not in mode:
        yield Line("power mode", "yellow", f"{mode}, and {best[2]} is faster", f"sudo nvpmodel -m {best[1]}")
    else:
        yield Line("power mode", "green", mode)
    if place.facts["clocks_locked"] is False:
        text = "clocks follow the load: frames take longer after a pause, and measurements scatter"
        yield Line("clocks", "yellow", text, "sudo jetson_clocks")
    elif place.facts["clocks_locked"]:
        yield Line("clocks", "green", "held at their highest")


def memory(place: Place) -> Iterator[Line]:
    """What is free, and what there is beside RAM for a build."""
    text = place.text("proc/meminfo")
    total, free = (_meminfo(text, name) for name in ("MemTotal", "MemAvailable"))
    shown = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if not total:
        yield Line("memory", "grey", "/proc/meminfo cannot be read")
    elif free < NO_MEMORY:
        yield Line("memory", "red", shown, "close other programs: ps aux --sort=-rss | head")
    elif free < LITTLE_MEMORY:
        yield Line("memory", "yellow", shown, "close other programs: ps aux --sort=-rss | head")
    else:
        yield Line("memory", "green", shown)
    yield from _swap(place, total)


def _swap(place: Place, total: int) -> Iterator[Line]:
    names = [line.split()[0] for line in place.text("proc/swaps").splitlines()[1:] if line.strip()]
    on_disk = [name for name in names if "zram" not in name]
    if on_disk:
        yield Line("swap", "green", ", ".join(names))
    elif place.is_jetson and 0 < total < SMALL_BOARD:
        text = "only zram, which is RAM itself" if names else "none"
        yield Line("swap", "yellow", f"{text}: building an engine may end with 'Killed'", SWAP_FILE)
    else:
        yield Line("swap", "grey", ", ".join(names) or "none")


def disk(place: Place) -> Iterator[Line]:
    """Where outputs would go."""
    name = shlex.quote(str(place.out))
    if not os.path.isdir(place.out):
        yield Line("disk", "red", f"{place.out} is no folder", f"mkdir -p {name}")
        return
    if not place.may_use(place.out):
        yield Line("disk", "red", f"no permission to write into {place.out}", f"sudo chown $USER {name}")
        return
    free = place.free_bytes(place.out)
    shown = f"{free / GIB:.1f} GiB free in {place.out}"
    if free < LITTLE_DISK:
        fix = f"du -xh {name} | sort -h | tail; sudo journalctl --vacuum-size=200M; sudo apt-get clean"
        yield Line("disk", "red" if free < NO_DISK else "yellow", shown, fix)
    else:
        yield Line("disk", "green", shown)


def display(place: Place) -> Iterator[Line]:
    """A screen is never needed; one that is far away troubles a Jetson's cameras."""
    screen = place.environment.get("DISPLAY", "")
    if place.is_jetson and screen.partition(":")[0] not in ("", "unix"):
        text = f"DISPLAY={screen} is another machine's screen: csi:// cameras fail with EGL errors"
        yield Line("screen", "yellow", text, "unset DISPLAY")
    elif screen or place.environment.get("WAYLAND_DISPLAY"):
        yield Line("screen", "green", f"{screen or place.environment['WAYLAND_DISPLAY']}, for display://")
    else:
        yield Line("screen", "grey", "none (headless): http://@:8080 shows the pictures in a browser")


def ports(place: Place) -> Iterator[Line]:
    """Those that outputs take by themselves."""
    taken = [port for port in PORTS if not place.is_port_free(port)]
    if not taken:
        yield Line("ports", "green", f"{' and '.join(map(str, PORTS))} are free")
    for port in taken:
        other = PORTS[port].replace(str(port), str(port + 1))
        fix = f"sudo ss -ltnp 'sport = :{port}' names the program; or take another port: {other}"
        yield Line("ports", "yellow", f"{port} is in use, which {PORTS[port]} would take", fix)


def _meminfo(text: str, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
