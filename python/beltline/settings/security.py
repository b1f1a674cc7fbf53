"""TLS and credentials, as librdkafka is told them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beltline.exceptions import ImproperlyConfigured

from .certificates import check_authorities, check_pair

if TYPE_CHECKING:
    from beltline.auth import Credentials, SSLCredentials

    from . import Settings

__all__ = ["security_options"]


def security_options(conf: Settings) -> dict[str, Any]:
    """Return what settings say about TLS and about who one is.

    Raises:
        ImproperlyConfigured: They contradict each other, or say what librdkafka cannot be told.
    """
    from beltline.auth import GSSAPICredentials, OAuthCredentials, SASLCredentials, SSLCredentials

    credentials: Credentials | None = conf.broker_credentials
    tls, setting = described_tls(conf)
    encryption = {} if tls is None else tls_options(tls, setting)
    if credentials is None or isinstance(credentials, SSLCredentials):
        return {} if tls is None else {"security.protocol": "SSL", **encryption}
    options: dict[str, Any] = {"security.protocol": "SASL_PLAINTEXT" if tls is None else "SASL_SSL", **encryption}
    if isinstance(credentials, OAuthCredentials):
        return options | {"sasl.mechanism": "OAUTHBEARER", "beltline.token": token_function(credentials)}
    if isinstance(credentials, GSSAPICredentials):
        return options | kerberos_options(credentials)
    if isinstance(credentials, SASLCredentials):
        return options | password_options(credentials)
    raise ImproperlyConfigured(f"setting broker_credentials: beltline has no use for {type(credentials).__name__}")


def described_tls(conf: Settings) -> tuple[SSLCredentials | None, str]:
    """Return how connections are encrypted, and the setting that says so.

    Raises:
        ImproperlyConfigured: Both settings do, or `ssl_context` is something else.
    """
    from beltline.auth import SSLCredentials, to_credentials

    credentials: Credentials | None = conf.broker_credentials
    given = conf.ssl_context
    if given is not None and not isinstance(given, ssl.SSLContext | SSLCredentials):
        raise ImproperlyConfigured(
            f"setting ssl_context: an ssl.SSLContext or beltline.SSLCredentials is wanted, not {type(given).__name__}"
        )
    inner = credentials if isinstance(credentials, SSLCredentials) else getattr(credentials, "ssl_context", None)
    if inner is not None and given is not None:
        raise ImproperlyConfigured("TLS is described twice, by ssl_context= and in broker_credentials=; give only one")
    found = to_credentials(given if inner is None else inner)
    assert found is None or isinstance(found, SSLCredentials)
    return found, "ssl_context" if inner is None else "broker_credentials"


def password_options(credentials: Any) -> dict[str, Any]:
    """Return the options for a name and a password."""
    missing = [name for name in ("username", "password") if getattr(credentials, name) is None]
    if missing:
        raise ImproperlyConfigured(f"setting broker_credentials: {credentials.mechanism} needs {' and '.join(missing)}")
    return {
        "sasl.mechanism": str(credentials.mechanism),
        "sasl.username": credentials.username,
        "sasl.password": credentials.password,
    }


def kerberos_options(credentials: Any) -> dict[str, Any]:
    """Return the options for Kerberos."""
    if credentials.kerberos_domain_name is not None:
        raise ImproperlyConfigured(
            "setting broker_credentials: kerberos_domain_name has no counterpart in librdkafka, which asks for the "
            "host that it connects to; leave it out, and give principal and keytab as broker_options="
            "{'sasl.kerberos.principal': ..., 'sasl.kerberos.keytab': ...}"
        )
    return {"sasl.mechanism": "GSSAPI", "sasl.kerberos.service.name": credentials.kerberos_service_name}


def token_function(credentials: Any) -> Callable[[], tuple[str, int, str, dict[str, str]]]:
    """Return the function that the client calls when it needs a new token."""

    def token() -> tuple[str, int, str, dict[str, str]]:
        made = credentials.fetch()
        return made.value, round(made.expires_at * 1000), made.principal, dict(made.extensions)

    return token


def tls_options(given: SSLCredentials, setting: str) -> dict[str, str]:
    """Return the options for an encrypted connection.

    Raises:
        ImproperlyConfigured: A file that is not there or of no use, or something that librdkafka cannot be told.
    """
    context = given.given_context
    options = files_options(given, setting) if context is None else context_options(context, setting)
    if given.certfile is not None:
        options["ssl.certificate.location"] = readable(given.certfile, setting, "certfile")
        options["ssl.key.location"] = readable(given.keyfile or given.certfile, setting, "keyfile")
        check_pair(given.certfile, given.keyfile, given.password, setting)
    if given.password is not None:
        options["ssl.key.password"] = given.password
    if not given.check_hostname:
        options["ssl.endpoint.identification.algorithm"] = "none"
    return options


def files_options(given: SSLCredentials, setting: str) -> dict[str, str]:
    """Return whom to trust, from files or text."""
    sources = [name for name in ("cafile", "capath", "cadata") if getattr(given, name)]
    if len(sources) > 1:
        raise ImproperlyConfigured(f"setting {setting}: librdkafka takes one of {' and '.join(sources)}; give only one")
    if given.cafile is not None:
        path = readable(given.cafile, setting, "cafile")
        check_authorities(path, setting)
        return {"ssl.ca.location": path}
    if given.capath is not None:
        return {"ssl.ca.location": readable(given.capath, setting, "capath")}
    if given.cadata:
        data = given.cadata
        return {"ssl.ca.pem": data if isinstance(data, str) else ssl.DER_cert_to_PEM_cert(bytes(data))}
    return {}


def readable(path: str, setting: str, argument: str) -> str:
    """Return a path at which there is something.

    Raises:
        ImproperlyConfigured: There is not.
    """
    if not Path(path).exists():
        raise ImproperlyConfigured(
            f"setting {setting}: {argument} {path} does not exist; give the path of a file that this process can see"
        )
    return path


def context_options(context: ssl.SSLContext, setting: str) -> dict[str, str]:
    """Return whom to trust, from a context: its authorities can be read back, and whether it looks at all.

    Raises:
        ImproperlyConfigured: It asks for what librdkafka cannot be told; says what to give instead.
    """
    instead = "give beltline.SSLCredentials(cafile=..., certfile=..., keyfile=...) in the place of the context"
    unmapped = [words for is_asked, words in context_wishes(context) if is_asked]
    if unmapped:
        raise ImproperlyConfigured(
            f"setting {setting}: the SSLContext asks for {' and '.join(unmapped)}, which librdkafka cannot be told; "
            f"{instead}, and further librdkafka options as broker_options="
        )
    if context.verify_mode == ssl.CERT_NONE:
        return {"enable.ssl.certificate.verification": "false"}
    authorities = context.get_ca_certs(binary_form=True)
    if not authorities:
        raise ImproperlyConfigured(
            f"setting {setting}: the SSLContext does not give back whom it trusts (no certificates, or a directory of "
            f"them, capath=); {instead}"
        )
    options = {"ssl.ca.pem": "".join(ssl.DER_cert_to_PEM_cert(one) for one in authorities)}
    if not context.check_hostname:
        options["ssl.endpoint.identification.algorithm"] = "none"
    return options


def context_wishes(context: ssl.SSLContext) -> list[tuple[bool, str]]:
    """Return what a context may ask for that has no counterpart, and whether this one does."""
    revoked = ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN
    newer = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    return [
        (bool(context.verify_flags & revoked), "lists of revoked certificates"),
        (context.minimum_version in newer, "TLS 1.3 at least"),
        (context.verify_mode == ssl.CERT_OPTIONAL, "certificates that are looked at only if there are any"),
    ]
