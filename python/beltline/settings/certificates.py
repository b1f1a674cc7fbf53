"""Looks into the files of a TLS client before anybody connects, so that what is wrong with them is named."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from beltline.exceptions import ImproperlyConfigured

__all__ = ["check_authorities", "check_pair"]

#: A certificate in a PEM file.
BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

#: Tags of DER that are met on the way to a certificate's dates (X.690; RFC 5280, section 4.1).
VERSION, UTC_TIME = 0xA0, 0x17


def check_authorities(path: str, setting: str) -> None:
    """Refuse a file of authorities that holds no certificate.

    Raises:
        ImproperlyConfigured: It cannot be read, or is something else.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ImproperlyConfigured(
            f"setting {setting}: cafile {path} cannot be used ({reason_of(error)}); it has to be a PEM file with the "
            "certificates of the authorities that are trusted"
        ) from None


def check_pair(certfile: str, keyfile: str | None, password: str | None, setting: str) -> None:
    """Refuse a client's certificate that no broker would take.

    Raises:
        ImproperlyConfigured: It has run out or is not valid yet, its key does not open or is another one's, or a file
            cannot be read; the file is named, and what to do.
    """
    key = keyfile or certfile
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # A function, because without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certfile, keyfile, password=lambda: password or "")
    except (OSError, ssl.SSLError) as error:
        raise ImproperlyConfigured(f"setting {setting}: {why_no_pair(error, certfile, key, password)}") from None
    begins, ends = dates_of(certfile)
    now = time.time()
    if now > ends:
        raise ImproperlyConfigured(
            f"setting {setting}: the certificate in certfile {certfile} ran out on {day(ends)}; get a new one for it"
        )
    if now < begins:
        raise ImproperlyConfigured(
            f"setting {setting}: the certificate in certfile {certfile} is not valid before {day(begins)}; look at the "
            "clock of this machine, or use an older one"
        )


def why_no_pair(error: OSError, certfile: str, key: str, password: str | None) -> str:
    """Return in words why certificate and key cannot be used."""
    if isinstance(error, PermissionError):
        return f"certfile {certfile} or keyfile {key} may not be read by this user; change its rights"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return (
            f"keyfile {key} is not the key of the certificate in certfile {certfile}; give the one that belongs to it"
        )
    if not BLOCK.search(text_of(certfile)):
        return f"certfile {certfile} holds no certificate; it has to be a PEM file"
    if "ENCRYPTED" in text_of(key):
        given = "password= does not open it" if password else "it is locked, and no password= is given"
        return f"keyfile {key} cannot be used: {given}; give the password of the key"
    return f"keyfile {key} cannot be used ({reason_of(error)}); it has to be a PEM file with the certificate's key"


def reason_of(error: OSError) -> str:
    """Return what OpenSSL or the system says, in a few words."""
    unnamed = "OpenSSL cannot read it" if isinstance(error, ssl.SSLError) else error.strerror or type(error).__name__
    return str(getattr(error, "reason", None) or unnamed).lower().replace("_", " ")


def text_of(path: str) -> str:
    """Return what a file holds, whatever it is."""
    return Path(path).read_text(encoding="ascii", errors="replace")


def day(moment: float) -> str:
    """Return a time for people."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def dates_of(certfile: str) -> tuple[float, float]:
    """Return from when to when the first certificate of a file is valid, in seconds since the epoch."""
    found = BLOCK.search(text_of(certfile))
    assert found is not None
    der = ssl.PEM_cert_to_DER_cert(found[0])
    _, certificate = next(elements(der))
    _, signed = next(elements(certificate))
    # Version (which may be missing), serial number, algorithm, issuer, then the dates.
    fields = [content for tag, content in elements(signed) if tag != VERSION]
    begins, ends = (moment(tag, content) for tag, content in elements(fields[3]))
    return begins, ends


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of what lies side by side in DER."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(der[at : at + count]), at + count
        yield tag, der[at : at + length]
        at += length


def moment(tag: int, content: bytes) -> float:
    """Return a time of DER in seconds since the epoch: two digits of a year below 50 are of this century (RFC 5280)."""
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
