"""Who one is towards a broker: the classes of `faust.auth`, with what librdkafka needs to know of them.

Nothing here shows a secret: not in a ``repr``, not in an error.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

__all__ = [
    "AuthProtocol",
    "Credentials",
    "GSSAPICredentials",
    "OAuthCredentials",
    "SASLCredentials",
    "SASLMechanism",
    "SSLCredentials",
    "Token",
    "to_credentials",
]

#: How long a token is taken for good that does not say so itself.
TOKEN_LIFE_S: Final = 900.0


class AuthProtocol(StrEnum):
    """What a listener of a broker speaks."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SASLMechanism(StrEnum):
    """How one proves who one is."""

    PLAIN = "PLAIN"
    GSSAPI = "GSSAPI"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class Credentials:
    """Base class.

    Attributes:
        protocol: What the listener has to speak.
        ssl_context: How the connection is encrypted; None is not at all.
    """

    protocol: AuthProtocol = AuthProtocol.PLAINTEXT
    ssl_context: ssl.SSLContext | SSLCredentials | None = None

    def _use_tls(self, context: ssl.SSLContext | SSLCredentials | None) -> None:
        if context is not None and not isinstance(context, ssl.SSLContext | SSLCredentials):
            raise TypeError(f"ssl_context= takes an ssl.SSLContext or SSLCredentials, not {type(context).__name__}")
        self.ssl_context = context
        self.protocol = AuthProtocol.SASL_PLAINTEXT if context is None else AuthProtocol.SASL_SSL


class SSLCredentials(Credentials):
    """TLS: whom to trust, and with which certificate to show oneself.

    An `ssl.SSLContext` does not give back which certificate it was told to show. Files do, so give those; a context
    is good for saying whom to trust.

    Args:
        context: Whom to trust, in the place of `cafile`, `capath` and `cadata`.
        purpose: As Faust has it; a client's is the only one that makes sense.
        cafile: PEM file of the authorities that are trusted; without any the system's are.
        capath: Directory of such files, named as ``openssl rehash`` names them.
        cadata: The same as PEM text or DER bytes.
        certfile: PEM file of the client's certificate, with those that lead to the authority.
        keyfile: PEM file of the key; None is `certfile`.
        password: Of the key.
        check_hostname: Whether the broker's certificate has to be that of the host that was connected to.

    Raises:
        TypeError: Both a context and files.

    Example:
        >>> SSLCredentials(cafile="ca.pem", certfile="me.pem", keyfile="me.key", password="hush")
        <SSLCredentials: cafile='ca.pem' certfile='me.pem' keyfile='me.key'>
    """

    protocol = AuthProtocol.SSL

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        purpose: Any = None,
        cafile: str | Path | None = None,
        capath: str | Path | None = None,
        cadata: str | bytes | None = None,
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        password: str | None = None,
        check_hostname: bool = True,
    ) -> None:
        if context is not None and any((cafile, capath, cadata)):
            raise TypeError("SSLCredentials takes either a context or cafile=, capath=, cadata=, not both")
        if keyfile is not None and certfile is None:
            raise TypeError("SSLCredentials: a keyfile= needs the certfile= that belongs to it")
        self._context = context
        self.purpose = purpose
        self.cafile = None if cafile is None else str(cafile)
        self.capath = None if capath is None else str(capath)
        self.cadata = cadata
        self.certfile = None if certfile is None else str(certfile)
        self.keyfile = None if keyfile is None else str(keyfile)
        self.password = password
        self.check_hostname = check_hostname

    @property
    def given_context(self) -> ssl.SSLContext | None:
        """The context that was given; None when files were."""
        return self._context

    @property
    def context(self) -> ssl.SSLContext:
        """A context for other connections that should be as safe as this one.

        Raises:
            OSError: A file cannot be read.
        """
        if self._context is not None:
            return self._context
        context = ssl.create_default_context(
            self.purpose or ssl.Purpose.SERVER_AUTH, cafile=self.cafile, capath=self.capath, cadata=self.cadata
        )
        context.check_hostname = self.check_hostname
        if self.certfile is not None:
            context.load_cert_chain(self.certfile, self.keyfile, self.password)
        return context

    def __repr__(self) -> str:
        named = ("cafile", "capath", "certfile", "keyfile")
        parts = [f"{name}={getattr(self, name)!r}" for name in named if getattr(self, name) is not None]
        if self._context is not None:
            parts.insert(0, "context")
        return f"<{type(self).__name__}: {' '.join(parts) or 'the authorities of the system'}>"


class SASLCredentials(Credentials):
    """A name and a password.

    Args:
        username: The name.
        password: The password.
        ssl_context: Encrypt the connection; without it the password goes over the wire as it is with PLAIN.
        mechanism: ``PLAIN`` (the default), ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.

    Raises:
        ValueError: Another mechanism.

    Example:
        >>> SASLCredentials(username="shop", password="hush", mechanism="SCRAM-SHA-256")
        <SASLCredentials: username='shop' mechanism=SCRAM-SHA-256 SASL_PLAINTEXT>
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        ssl_context: ssl.SSLContext | SSLCredentials | None = None,
        mechanism: str | SASLMechanism | None = None,
    ) -> None:
        self.username = username
        self.password = password
        self.mechanism = mechanism_of(mechanism or SASLMechanism.PLAIN)
        if self.mechanism in (SASLMechanism.OAUTHBEARER, SASLMechanism.GSSAPI):
            better = "OAuthCredentials" if self.mechanism is SASLMechanism.OAUTHBEARER else "GSSAPICredentials"
            raise ValueError(f"{self.mechanism} knows no password; use {better}")
        self._use_tls(ssl_context)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: username={self.username!r} mechanism={self.mechanism} {self.protocol}>"


class GSSAPICredentials(Credentials):
    """Kerberos.

    Args:
        kerberos_service_name: Of the brokers.
        kerberos_domain_name: Not with librdkafka, which asks for the host that it connects to.
        ssl_context: Encrypt the connection.
        mechanism: There is only one.
    """

    def __init__(
        self,
        *,
        kerberos_service_name: str = "kafka",
        kerberos_domain_name: str | None = None,
        ssl_context: ssl.SSLContext | SSLCredentials | None = None,
        mechanism: str | SASLMechanism | None = None,
    ) -> None:
        self.kerberos_service_name = kerberos_service_name
        self.kerberos_domain_name = kerberos_domain_name
        self.mechanism = mechanism_of(mechanism or SASLMechanism.GSSAPI)
        if self.mechanism is not SASLMechanism.GSSAPI:
            raise ValueError(f"GSSAPICredentials are for GSSAPI, not for {self.mechanism}")
        self._use_tls(ssl_context)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: kerberos service={self.kerberos_service_name!r} "
            f"domain={self.kerberos_domain_name!r} {self.protocol}>"
        )


@dataclass(frozen=True)
class Token:
    """What proves who one is, for a while.

    Attributes:
        value: The token.
        expires_at: When it runs out, in seconds since the epoch.
        principal: Whose it is.
        extensions: What else the broker is told.
    """

    value: str = field(repr=False)
    expires_at: float
    principal: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict, repr=False)


class OAuthCredentials(Credentials):
    """Tokens that somebody else makes.

    Args:
        oauth_cb: An object with a method ``token()``, or a function; plain or async. It returns a text, a `Token`, or a
            text and the second since the epoch at which it runs out. It is called from a thread of the Kafka client
            whenever a new one is needed; an async one is awaited in an event loop of its own.
        client_id: Whose tokens they are, where they do not say so themselves.
        ssl_context: Encrypt the connection; without it tokens go over the wire as they are.

    Example:
        >>> credentials = OAuthCredentials(oauth_cb=lambda: ("secret-token", 2e9), client_id="shop")
        >>> credentials.fetch()
        Token(expires_at=2000000000.0, principal='shop')
    """

    mechanism: SASLMechanism = SASLMechanism.OAUTHBEARER

    def __init__(
        self,
        *,
        oauth_cb: Any,
        client_id: str | None = None,
        ssl_context: ssl.SSLContext | SSLCredentials | None = None,
    ) -> None:
        if not callable(getattr(oauth_cb, "token", None)) and not callable(oauth_cb):
            raise TypeError("oauth_cb= is an object with a method token(), or a function that returns a token")
        self.oauth_cb = oauth_cb
        self.client_id = client_id
        self._use_tls(ssl_context)

    def fetch(self) -> Token:
        """Return a new token; from any thread without a running event loop.

        Raises:
            TypeError: What was returned is no token; its type is named, never the thing itself.
        """
        source: Callable[[], Any] = getattr(self.oauth_cb, "token", None) or self.oauth_cb
        made = called(source)
        if isinstance(made, Token):
            return made
        expires_at: Any = None
        if isinstance(made, tuple) and len(made) == 2:
            made, expires_at = made
        if isinstance(made, bytes):
            made = made.decode("ascii")
        if not isinstance(made, str) or not made:
            raise TypeError(f"oauth_cb returned {type(made).__name__}, but a token is text, or a pair of text and time")
        claims = claims_of(made)
        if expires_at is None:
            expires_at = claims.get("exp") or time.time() + TOKEN_LIFE_S
        extensions = getattr(self.oauth_cb, "extensions", None)
        return Token(
            made,
            float(expires_at),
            str(self.client_id or claims.get("sub") or "beltline"),
            dict(called(extensions) or {}) if callable(extensions) else {},
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: client_id={self.client_id!r} {self.protocol}>"


def called(function: Callable[[], Any]) -> Any:
    """Call a plain or an async function."""
    made = function()
    return asyncio.run(finished(made)) if inspect.isawaitable(made) else made


async def finished(awaitable: Any) -> Any:
    """Await whatever can be awaited."""
    return await awaitable


def claims_of(token: str) -> Mapping[str, Any]:
    """Return what a JSON web token says about itself, unchecked; nothing when it is of another kind."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def mechanism_of(mechanism: str | SASLMechanism) -> SASLMechanism:
    """Return a mechanism by its name.

    Raises:
        ValueError: There is none of that name; the names are listed.
    """
    try:
        return SASLMechanism(getattr(mechanism, "value", mechanism))
    except ValueError:
        raise ValueError(f"SASL mechanism {mechanism!r}: it is one of {', '.join(SASLMechanism)}") from None


def to_credentials(given: Any) -> Credentials | None:
    """Return credentials from what a program gives; a bare `ssl.SSLContext` is TLS.

    Raises:
        TypeError: Something else; its type is named, never the thing itself.
    """
    if given is None or isinstance(given, Credentials):
        return given
    if isinstance(given, ssl.SSLContext):
        return SSLCredentials(given)
    raise TypeError(
        f"credentials are SASLCredentials, SSLCredentials, OAuthCredentials, GSSAPICredentials or an ssl.SSLContext, "
        f"not {type(given).__name__}; a variable of the environment cannot carry them"
    )
