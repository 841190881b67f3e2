"""Opening of network streams: what FFmpeg is told, and what the user is told where it fails."""

from __future__ import annotations

import re
from urllib.parse import quote

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.sources.address import without_credentials
from runtime.sources.network_packets import why
from runtime.sources.rtsp_source import NetworkSource
from runtime.sources.source import SourceOptions
from runtime.sources.video_io import quiet

HTTP_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto,data"  # a playlist from a network names no file of ours


def open_network(uri: str, options: SourceOptions) -> NetworkSource:
    """Open rtsp[s]://[USER:PASSWORD@]HOST[:PORT]/PATH or http[s]://…, a stream of JPEG pictures or of segments.

    Raises: Failure (SOURCE) when there is no such stream or it does not answer in time, (USAGE) for a recording.
    """
    import av

    quiet()
    name, asked_ns = without_credentials(uri), now_ns()
    try:
        container = av.open(
            _with_quoted_user(uri), timeout=(options.timeout_s, options.timeout_s), options=_settings(uri, options)
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # `from None`: the cause names the whole address, with its password.
        raise Failure(
            f"camera {name} cannot be opened: {why(error, asked_ns, options.timeout_s)}{_advice(error, uri)}",
            ExitCode.SOURCE,
        ) from None
    if not container.streams.video:
        container.close()
        raise Failure(f"camera {name} sends no video", ExitCode.SOURCE)
    if uri.startswith("http") and container.duration:
        container.close()
        raise Failure(f"{name} is a recording, not a live stream; fetch it first: curl -LO '{name}'")
    return NetworkSource(name, container, options.timeout_s)


def _settings(uri: str, options: SourceOptions) -> dict[str, str]:
    """FFmpeg's options. It looks at as few pictures as it can to learn what the stream is, and keeps them (`nobuffer`
    would not): the first may be the only key frame for seconds."""
    if uri.startswith("http"):
        return {"protocol_whitelist": HTTP_PROTOCOLS}
    # FFmpeg's own time limit is for the good-bye to a dead server, which PyAV's does not end.
    limit_us = str(int(2 * options.timeout_s * 1e6))
    kind = {"rtsp_transport": options.rtsp_transport, "allowed_media_types": "video"}
    return {**kind, "timeout": limit_us, "fpsprobesize": "0"}


def _with_quoted_user(uri: str) -> str:
    """The URI as FFmpeg reads it: `/` and the like in a password, which would end it, are percent-encoded.

    Where an `@` stands before the first `/` a user ends there, by the rule for all URIs.
    """
    user = re.match(r"(\w+://)([^/?#@]*:(?!\d*[/?#])[^/?#@]*[/?#].*)@", uri, re.DOTALL)
    return user[1] + quote(user[2], safe=":%") + uri[user.end() - 1 :] if user else uri


def _advice(error: BaseException, uri: str) -> str:
    """What to do about a stream that cannot be opened."""
    import av

    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        scheme = uri.partition(":")[0]
        return f"; check user and password: {scheme}://USER:PASSWORD@HOST/…, with @ as %40 and / as %2F in them"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "; the camera is there and has no such stream: look its path up in its manual"
    transport = ", or try --rtsp-transport udp" if uri.startswith("rtsp") else ""
    return f"; check address, port, user and password{transport}"
