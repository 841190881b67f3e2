"""RtspPublisher: one connection that sends H.264 to an RTSP server (ANNOUNCE, SETUP, RECORD; RFC 2326), over TCP.

FFmpeg's own RTSP muxer is not used: PyAV holds Python's lock while that connects and says hello, so a server that does
not answer would stop the whole program, the camera included.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import struct
from contextlib import suppress

from runtime.sinks.rtp_packets import CLOCK_RATE, PAYLOAD_TYPE
from runtime.sinks.rtsp_address import RtspAddress

MOST_UNSENT = 65536  # bytes that wait in the kernel: without a limit megabytes, which are seconds on a slow link
LONGEST_ANSWER = 65536  # bytes
FORGOTTEN, MOST_READS = 65536, 16  # bytes, and how often, that are read of what a server says while we send


class Refused(OSError):
    """The server answered, and not with what was asked for."""


class RtspPublisher:
    """Every wait has a limit, and `abort` ends it."""

    def __init__(self, address: RtspAddress, timeout_s: float) -> None:
        """timeout_s: for each answer, and for each picture to be taken."""
        self.open = False
        self._address, self._timeout_s = address, timeout_s
        self._number = 0
        self._session = self._challenge = ""
        self._channel = 0  # of packets; that of reports comes after it
        self._socket = socket.socket()  # stands in for the one to come

    def connect(self, parameters: tuple[bytes, bytes]) -> None:
        """Have the server expect a stream. parameters: its SPS and PPS.

        Raises: OSError when there is no server, Refused when it does not want the stream.
        """
        before, self._socket = (
            self._socket,
            socket.create_connection((self._address.host, self._address.port), self._timeout_s),
        )
        before.close()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)
        if self._address.secure:
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(self._socket, server_hostname=self._address.host)
        self._request("OPTIONS")
        self._request("ANNOUNCE", {"Content-Type": "application/sdp"}, _description(parameters))
        transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"}
        answer = self._request("SETUP", transport, track="/streamid=0")
        if chosen := re.search(r"^transport:.*\binterleaved=(\d{1,3})\b", answer, re.IGNORECASE | re.MULTILINE):
            self._channel = min(int(chosen[1]), 254)
        self._request("RECORD", {"Range": "npt=0.000-"})
        self.open = True

    def send(self, packets: list[bytes], channel: int = 0) -> None:
        """Send packets; channel 1 is for reports. Raises: OSError when the server goes away or takes nothing."""
        self._forget()
        number = self._channel + channel
        self._socket.sendall(b"".join(struct.pack("!cBH", b"$", number, len(packet)) + packet for packet in packets))

    def close(self) -> None:
        """Take leave without waiting for an answer, and let go."""
        if self.open:
            with suppress(OSError):
                self._socket.sendall(self._text("TEARDOWN", {}, "", ""))
        self._socket.close()

    def abort(self) -> None:
        """End every wait; from another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _request(self, method: str, headers: dict[str, str] | None = None, body: str = "", track: str = "") -> str:
        """The header of the answer; asks once more with credentials where they are wanted. Raises: OSError."""
        headers = headers or {}
        self._socket.sendall(self._text(method, headers, body, track))
        status, answer = self._answer()
        if status == 401 and self._address.user and not self._challenge:
            offers = re.findall(r"^www-authenticate:\s*(.*?)\s*$", answer, re.IGNORECASE | re.MULTILINE)
            self._challenge = max(offers, key=lambda offer: offer.lower().startswith("digest"), default="")
            self._socket.sendall(self._text(method, headers, body, track))
            status, answer = self._answer()
        if status != 200:
            wanted = "; give its user and password: rtsp://USER:PASSWORD@HOST/…" if status == 401 else ""
            raise Refused(f"the server answers {method} with {answer.splitlines()[0][9:80]}{wanted}")
        session = re.search(r"^session:\s*([^;\s]+)", answer, re.IGNORECASE | re.MULTILINE)
        self._session = session[1] if session else self._session
        return answer

    def _text(self, method: str, headers: dict[str, str], body: str, track: str) -> bytes:
        self._number += 1
        url = self._address.url + track
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: edgedeblur"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Session: {self._session}"] if self._session else []
        lines += [f"Authorization: {self._credentials(method, url)}"] if self._challenge else []
        lines += [f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", body]).encode()

    def _credentials(self, method: str, url: str) -> str:
        user, password = self._address.user, self._address.password
        if not self._challenge.lower().startswith("digest"):
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        fields = {name.lower(): value for name, value in re.findall(r'(\w+)="?([^",]*)"?', self._challenge)}
        realm, nonce, algorithm = fields.get("realm", ""), fields.get("nonce", ""), fields.get("algorithm", "MD5")
        secret = _digest(algorithm, user, realm, password)
        response = _digest(algorithm, secret, nonce, _digest(algorithm, method, url))
        return (
            f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{url}", algorithm="{algorithm}", '
            f'response="{response}"'
        )

    def _answer(self) -> tuple[int, str]:
        """Status and header of the next answer; its body is left out. Raises: OSError."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self._socket.recv(4096)) or len(data) > LONGEST_ANSWER:
                raise Refused("the server hung up" if not more else "the server does not speak RTSP")
            data += more
        header = data.split(b"\r\n\r\n")[0].decode(errors="replace")
        status = re.match(r"RTSP/1\.\d (\d{3})\b", header)
        if not status:
            raise Refused("the server does not speak RTSP")
        length = re.search(r"^content-length:\s*(\d+)", header, re.IGNORECASE | re.MULTILINE)
        missing = min(int(length[1]) if length else 0, LONGEST_ANSWER) - len(data.split(b"\r\n\r\n", 1)[1])
        while missing > 0 and (more := self._socket.recv(missing)):
            missing -= len(more)
        return int(status[1]), header

    def _forget(self) -> None:
        """Read what the server says meanwhile (reports of what it got), so that it never waits for us to do so."""
        self._socket.settimeout(0)
        try:
            for _ in range(MOST_READS):
                if not self._socket.recv(FORGOTTEN):
                    raise Refused("the server hung up")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self._socket.settimeout(self._timeout_s)


def _description(parameters: tuple[bytes, bytes]) -> str:
    """The stream as SDP."""
    sets = ",".join(base64.b64encode(unit).decode() for unit in parameters)
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=edgedeblur", "c=IN IP4 0.0.0.0", "t=0 0"]
    lines += [f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_RATE}"]
    profile = f"packetization-mode=1;profile-level-id={parameters[0][1:4].hex().upper()};sprop-parameter-sets={sets}"
    lines += [f"a=fmtp:{PAYLOAD_TYPE} {profile}", "a=control:streamid=0", ""]
    return "\r\n".join(lines)


def _digest(algorithm: str, *parts: str) -> str:
    text = ":".join(parts).encode()
    # MD5 by RTSP's standard, also where it is switched off for everything else.
    weak = not algorithm.upper().startswith("SHA-256")
    return (hashlib.md5(text, usedforsecurity=False) if weak else hashlib.sha256(text)).hexdigest()
