#!/usr/bin/env bash
# Debian and Ubuntu packages that some tests use: a browser, GStreamer with its RTSP server, a virtual screen.
# Tests that find one missing say so and are skipped.
set -euo pipefail
packages=(
    chromium chromium-driver
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0 python3-gi
    xvfb
)
if dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    exit
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
