"""GStreamer's encoders of H.264: which one this machine has, tried before it is trusted."""

from __future__ import annotations

from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.gst_import import import_gst

# Best first, as they are to be launched for least delay. A Jetson's takes pictures from its own kind of memory; an Orin
# Nano has the element and not the encoder. {keyframes} frames lie between two from which a viewer can start.
ENCODERS = {
    "nvv4l2h264enc": "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc maxperf-enable=true "
    "insert-sps-pps=true idrinterval={keyframes} iframeinterval={keyframes} bitrate={bits}",
    "nvh264enc": "nvh264enc preset=low-latency-hq zerolatency=true gop-size={keyframes} bitrate={kilobits}",
    "x264enc": "x264enc tune=zerolatency speed-preset=superfast key-int-max={keyframes} bitrate={kilobits} "
    "threads={threads}",
    "openh264enc": "openh264enc complexity=low rate-control=bitrate gop-size={keyframes} bitrate={bits}",
}
TRIAL = (
    "videotestsrc num-buffers=2 ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! {encoder} ! fakesink"
)
TRIAL_S = 5
FFMPEG_NAMES = {"libx264": "x264enc", "libopenh264": "openh264enc", "h264_nvenc": "nvh264enc"}


def launch_text(name: str, bitrate: int, keyframes: int, threads: int) -> str:
    """An encoder as a piece of a pipeline. bitrate: bits a second."""
    return ENCODERS[name].format(bits=bitrate, kilobits=max(1, bitrate // 1000), keyframes=keyframes, threads=threads)


def working_encoder(wanted: str) -> str:
    """The best encoder that encodes a picture here. wanted: auto, or one of them by GStreamer's or FFmpeg's name.

    Raises: Failure (ENVIRONMENT) where none does.
    """
    gst = import_gst()
    wanted = FFMPEG_NAMES.get(wanted, wanted)
    names = [name for name in ENCODERS if wanted in ("auto", name)]
    for name in names:
        if gst.ElementFactory.find(name) and _encodes(gst, name):
            return name
    raise Failure(
        f"GStreamer has no encoder that works here ({', '.join(names) or wanted}); install one with: sudo apt install "
        "gstreamer1.0-plugins-ugly, or send the stream to a server: rtsp://HOST:8554/NAME",
        ExitCode.ENVIRONMENT,
    )


def _encodes(gst: Any, name: str) -> bool:
    """Whether two pictures go through it within some seconds."""
    text = TRIAL.format(encoder=launch_text(name, 500_000, 30, 1))
    try:
        pipeline = gst.parse_launch(text)
    except Exception:  # gi's own class of errors, which exists only once gi does
        return False
    pipeline.set_state(gst.State.PLAYING)
    wanted = gst.MessageType.EOS | gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(TRIAL_S * gst.SECOND, wanted)
    pipeline.set_state(gst.State.NULL)
    return message is not None and message.type == gst.MessageType.EOS
