"""Where the endpoint listens and whom it lets in, as the belt is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from beltline.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from . import Settings

__all__ = ["endpoint_options", "sharing"]

#: Whoever sets one of these wants others to reach the app, and is told when they cannot.
SECURITY: Final = (
    "endpoint_host",
    "endpoint_advertised_host",
    "endpoint_token",
    "endpoint_certificate",
    "endpoint_key",
)


def must_listen(conf: Settings) -> bool:
    """Whether an app that cannot listen is not to run."""
    return conf.endpoint_port != 0 or any(conf.was_given(name) for name in SECURITY)


def sharing(conf: Settings, observe: bool) -> dict[str, Any]:
    """Return how a data directory is shared, the argument `endpoint` of `Belt.open`; who observes listens never."""
    return {"observe": True} if observe else endpoint_options(conf) | {"must_listen": must_listen(conf)}


def endpoint_options(conf: Settings) -> dict[str, Any]:
    """Return how the endpoint listens.

    Raises:
        ImproperlyConfigured: A certificate without its key, or a key without its certificate.
    """
    certificate, key = conf.endpoint_certificate, conf.endpoint_key
    if (certificate is None) != (key is None):
        missing = "endpoint_certificate" if certificate is None else "endpoint_key"
        raise ImproperlyConfigured(f"setting {missing}: TLS needs a certificate and its key, this one is missing")
    return {
        "port": conf.endpoint_port,
        "host": conf.endpoint_host,
        "advertised_host": conf.endpoint_advertised_host,
        "token": conf.endpoint_token,
        "tls": None if certificate is None else (str(certificate), str(key)),
        "min_session_timeout": conf.endpoint_min_session_timeout,
    }
