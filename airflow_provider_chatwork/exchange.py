"""One request and its answer, for both transports: the time it may take, how far it came, and the error if it fails.

Whether Chatwork may have received a request is decided by what this machine sent, and not by the class of the error.
"""

from __future__ import annotations

import enum
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from airflow_provider_chatwork.api.call import Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkSetupError

#: The timeout of establishing a connection, in seconds.
CONNECT_TIMEOUT = 10.0
#: The largest answer, in bytes: 100 messages of 65,535 characters, each written as ``\\uXXXX``.
MAX_ANSWER = 40 * 1024 * 1024

_PROXY_STATUS = re.compile(r"(?:^|: )([45]\d\d)\b")


class Step(enum.Enum):
    """How far an exchange came. The values are for error texts."""

    START = "preparing the request"
    CONNECT = "connecting"
    PROXY = "connecting through the proxy"
    TLS = "the TLS handshake"
    SEND = "sending the request"
    RECEIVE = "reading the answer"


class AnswerTooLargeError(Exception):
    """An answer is larger than :data:`MAX_ANSWER`."""


class LibraryErrors(NamedTuple):
    """The errors of an HTTP library.

    :param base: their base class.
    :param before_sending: those that are raised only before something is sent.
    :param timeouts: those of a timeout.
    """

    base: type[BaseException]
    before_sending: tuple[type[BaseException], ...]
    timeouts: tuple[type[BaseException], ...]


#: Errors that reading an answer can raise, beside those of the HTTP library. ``UnicodeError`` is a ``ValueError``.
ANSWER_ERRORS = (OSError, ValueError, zlib.error, AnswerTooLargeError)


@dataclass
class Exchange:
    """The state of one exchange.

    :param timeout: seconds for the whole exchange.
    :param secret: a text that no error may show, such as the token.
    """

    timeout: float
    # Airflow 3.0 logs the local variables of a failed task with their ``repr``.
    secret: str = field(repr=False)
    step: Step = Step.START
    _began_at: float = field(default_factory=time.monotonic)

    @property
    def is_sent(self) -> bool:
        """Whether the other side may have received a part of the request."""
        return self.step in (Step.SEND, Step.RECEIVE)

    def remaining(self) -> float:
        """The seconds that are left.

        :raises TimeoutError: if none are left.
        """
        seconds = self._began_at + self.timeout - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"not complete within {self.timeout:g} s")
        return seconds

    def failure(self, error: BaseException, library: LibraryErrors) -> ChatworkNetworkError:
        """The error to raise instead of an error of the HTTP library, which may contain the token.

        :param error: the error of the library, or of the operating system.
        :param library: the errors of the library.
        """
        causes = list(_causes(error))
        if self.step is Step.START and isinstance(error, library.base):
            # No connection of this package was opened: the request is invalid, or a test replaces the connection.
            is_unsent = any(isinstance(each, library.before_sending) for each in causes)
            self.step = Step.START if is_unsent else Step.RECEIVE
        cause = next((each for each in reversed(causes) if isinstance(each, OSError)), causes[-1])
        timed_out = any(isinstance(each, (TimeoutError, *library.timeouts)) for each in causes)
        # An error of the preparation may show the whole URL.
        text = "" if self.step is Step.START else str(cause)
        if timed_out and not text:
            text = f"not complete within {self.timeout:g} s"
        reason = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
        if self.secret:
            reason = reason.replace(self.secret, "***")
        step = "looking up the host name" if isinstance(cause, socket.gaierror) else self.step.value
        reason = f"{step} failed: {reason}"
        remedy = None if self.is_sent else _remedy(self.step, causes)
        if remedy is not None:
            return ChatworkSetupError(reason, remedy)
        return ChatworkNetworkError(reason, sent=self.is_sent, timed_out=self.is_sent and timed_out)


def to_response(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
    """Make the response from what an HTTP library has read, at most one byte more than :data:`MAX_ANSWER`.

    :raises AnswerTooLargeError: if the body, or the decompressed body, is too large.
    :raises zlib.error: if the body cannot be decompressed. The transports ask for no compression, but a proxy may
        compress.
    """
    response = Response(status, {name.lower(): value for name, value in headers}, body)
    compressed = response.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate")
    if compressed and body and len(body) <= MAX_ANSWER:
        # 32: the header may be that of gzip or of zlib.
        decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        response = replace(response, body=decompressor.decompress(body, MAX_ANSWER + 1))
        if not decompressor.eof and len(response.body) <= MAX_ANSWER:
            raise zlib.error("the compressed answer is incomplete")
    if len(response.body) > MAX_ANSWER:
        raise AnswerTooLargeError(f"the answer is larger than {MAX_ANSWER:,} bytes")
    return response


def _remedy(step: Step, causes: list[BaseException]) -> str | None:
    """What a person has to change, if trying again cannot help."""
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return (
            "the certificate is not trusted; if a proxy inspects TLS, set SSL_CERT_FILE to a file with the certificate "
            "of its authority"
        )
    if step is Step.PROXY:
        for each in causes:
            refused = _PROXY_STATUS.search(str(each))
            if refused and refused[1] == "407":
                return "the proxy wants a user and a password; add them to its URL"
            if refused and refused[1].startswith("4"):
                return "the proxy refuses connections to this host; ask its administrator"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors it wraps. urllib3 keeps a wrapped error in ``reason`` or in the arguments."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        wrapped = getattr(error, "reason", None), *error.args, error.__cause__
        error = next((each for each in wrapped if isinstance(each, BaseException)), None)
