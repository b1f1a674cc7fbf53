"""TLS and credentials as the Kafka client is told them, and that no secret is shown."""

from __future__ import annotations

import logging
import pickle
import ssl
import subprocess
import traceback
from pathlib import Path
from typing import Any

import beltline
import pytest
from beltline.auth import GSSAPICredentials, OAuthCredentials, SASLCredentials, SSLCredentials, Token
from beltline.exceptions import ImproperlyConfigured
from beltline.settings import Settings
from beltline.settings.librdkafka import KafkaOptions, kafka_options

#: Must appear nowhere.
SECRET = "hush-9e107d9d"


def settings(**given: Any) -> Settings:
    """Return settings of an app on Kafka."""
    return Settings("shop", environment={}, **{"broker": "kafka://here", **given})


def options(**given: Any) -> KafkaOptions:
    """Return what its client is told."""
    return kafka_options(settings(**given))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the PEM file of an authority."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    made = [*command.split(), "-keyout", folder / "ca.key", "-out", folder / "ca.pem"]
    subprocess.run(made, check=True, capture_output=True)
    return folder / "ca.pem"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_passwords(mechanism: str) -> None:
    made = options(broker_credentials=SASLCredentials(username="u", password="p", mechanism=mechanism))
    assert made["security.protocol"] == "SASL_PLAINTEXT"
    assert (made["sasl.mechanism"], made["sasl.username"], made["sasl.password"]) == (mechanism, "u", "p")


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_passwords_over_tls(authority: Path, where: str) -> None:
    tls = SSLCredentials(cafile=authority)
    inside = tls if where == "inside" else None
    credentials = SASLCredentials(username="u", password="p", ssl_context=inside)
    made = options(broker_credentials=credentials, ssl_context=None if inside else tls)
    assert made["security.protocol"] == "SASL_SSL"
    assert made["ssl.ca.location"] == str(authority)


def test_mutual_tls(authority: Path) -> None:
    key = authority.with_suffix(".key")
    tls = SSLCredentials(cafile=authority, certfile=authority, keyfile=key, password="p", check_hostname=False)
    made = options(broker_credentials=tls)
    assert made["security.protocol"] == "SSL"
    assert made["ssl.certificate.location"] == str(authority)
    assert made["ssl.key.location"] == str(key)
    assert made["ssl.key.password"] == "p"
    assert made["ssl.endpoint.identification.algorithm"] == "none"
    assert isinstance(SSLCredentials(cafile=authority, certfile=authority, keyfile=key).context, ssl.SSLContext)


def test_the_authorities_of_the_system() -> None:
    assert options(ssl_context=SSLCredentials())["security.protocol"] == "SSL"
    assert "ssl.ca.location" not in options(ssl_context=SSLCredentials())


def test_authorities_as_text_and_as_a_directory(authority: Path) -> None:
    pem = authority.read_text()
    assert options(ssl_context=SSLCredentials(cadata=pem))["ssl.ca.pem"] == pem
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert "BEGIN CERTIFICATE" in options(ssl_context=SSLCredentials(cadata=der))["ssl.ca.pem"]
    assert options(ssl_context=SSLCredentials(capath=authority.parent))["ssl.ca.location"] == str(authority.parent)


def test_a_context_says_whom_it_trusts(authority: Path) -> None:
    context = ssl.create_default_context(cafile=str(authority))
    for given in ({"ssl_context": context}, {"broker_credentials": context}):
        made = options(**given)
        assert made["security.protocol"] == "SSL"
        assert ssl.PEM_cert_to_DER_cert(made["ssl.ca.pem"]) == ssl.PEM_cert_to_DER_cert(authority.read_text())
        assert "ssl.endpoint.identification.algorithm" not in made
    context.check_hostname = False
    assert options(ssl_context=context)["ssl.endpoint.identification.algorithm"] == "none"
    context.verify_mode = ssl.CERT_NONE
    assert options(ssl_context=context)["enable.ssl.certificate.verification"] == "false"


def test_what_a_context_asks_for_in_vain_is_refused_with_the_cure(authority: Path) -> None:
    def made() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(authority))

    revoked, newer, empty = made(), made(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    revoked.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    newer.minimum_version = ssl.TLSVersion.TLSv1_3
    cases = {"revoked": revoked, "TLS 1.3": newer, "does not give back": empty}
    for says, context in cases.items():
        with pytest.raises(ImproperlyConfigured, match=rf"{says}.*SSLCredentials\(cafile"):
            options(ssl_context=context)


def test_tls_is_not_described_twice(authority: Path) -> None:
    tls = SSLCredentials(cafile=authority)
    with pytest.raises(ImproperlyConfigured, match="TLS is described twice"):
        options(ssl_context=tls, broker_credentials=tls)
    with pytest.raises(ImproperlyConfigured, match="librdkafka takes one of cafile and capath"):
        options(ssl_context=SSLCredentials(cafile=authority, capath=authority.parent))
    with pytest.raises(TypeError, match="not both"):
        SSLCredentials(ssl.create_default_context(), cafile=authority)
    with pytest.raises(TypeError, match="needs the certfile"):
        SSLCredentials(keyfile=authority)


def test_files_that_are_not_there_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="cafile /nowhere does not exist"):
        options(ssl_context=SSLCredentials(cafile="/nowhere"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a client's files: good ones, one that has run out, and a locked key."""
    folder = tmp_path_factory.mktemp("client")
    for name, days in (("good", "2"), ("old", "-1")):
        request = f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name}".split()
        subprocess.run(
            [*request, "-keyout", folder / f"{name}.key", "-out", folder / "csr"], check=True, capture_output=True
        )
        sign = ["openssl", "x509", "-req", "-in", folder / "csr", "-signkey", folder / f"{name}.key", "-days", days]
        subprocess.run([*sign, "-out", folder / f"{name}.pem"], check=True, capture_output=True)
    lock = ["openssl", "pkcs8", "-topk8", "-in", folder / "good.key", "-passout", f"pass:{SECRET}"]
    subprocess.run([*lock, "-out", folder / "locked.key"], check=True, capture_output=True)
    (folder / "garbage").write_text("this is no key")
    return folder


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"cafile": "garbage"}, r"cafile \S+garbage cannot be used .* PEM file with the certificates"),
        ({"certfile": "missing.pem"}, r"certfile \S+missing.pem does not exist"),
        ({"certfile": "good.pem", "keyfile": "missing.key"}, r"keyfile \S+missing.key does not exist"),
        ({"certfile": "garbage"}, r"certfile \S+garbage holds no certificate"),
        ({"certfile": "good.pem", "keyfile": "garbage"}, r"keyfile \S+garbage cannot be used"),
        ({"certfile": "good.pem"}, r"keyfile \S+good.pem cannot be used"),
        ({"certfile": "good.pem", "keyfile": "old.key"}, r"keyfile \S+old.key is not the key of .*good.pem"),
        ({"certfile": "old.pem", "keyfile": "old.key"}, r"certfile \S+old.pem ran out on 20\d\d-.*get a new one"),
        (
            {"certfile": "good.pem", "keyfile": "locked.key"},
            r"locked.key cannot be used: it is locked, and no password=",
        ),
        ({"certfile": "good.pem", "keyfile": "locked.key", "password": "x"}, r"password= does not open it"),
    ],
)
def test_files_of_no_use_are_named_with_the_cure(client: Path, files: dict[str, str], says: str) -> None:
    given = {name: word if name == "password" else client / word for name, word in files.items()}
    for place in ("ssl_context", "broker_credentials"):
        with pytest.raises(ImproperlyConfigured, match=rf"setting {place}: .*{says}"):
            options(**{place: SSLCredentials(**given)})


def test_files_that_are_good_are_taken(client: Path) -> None:
    for key, password in (("good.key", None), ("locked.key", SECRET)):
        tls = SSLCredentials(certfile=client / "good.pem", keyfile=client / key, password=password)
        assert options(ssl_context=tls)["ssl.key.location"] == str(client / key)


def test_kerberos() -> None:
    made = options(broker_credentials=GSSAPICredentials(kerberos_service_name="k"))
    assert (made["sasl.mechanism"], made["sasl.kerberos.service.name"]) == ("GSSAPI", "k")
    with pytest.raises(ImproperlyConfigured, match=r"kerberos_domain_name.*sasl\.kerberos\.principal"):
        options(broker_credentials=GSSAPICredentials(kerberos_domain_name="d"))


def test_kerberos_is_refused_at_the_start_where_it_is_not_built(tmp_path: Path) -> None:
    app = beltline.App("shop", broker="kafka://127.0.0.1:1", broker_credentials=GSSAPICredentials(), datadir=tmp_path)
    with pytest.raises(ImproperlyConfigured, match=r"Kerberos .* is not in this build .* use SCRAM"):
        app.open_belt()


class Provider:
    """What Faust's users have: an object with an async method."""

    def __init__(self, token: Any) -> None:
        self.made = token

    async def token(self) -> Any:
        """Return the token."""
        return self.made

    def extensions(self) -> dict[str, str]:
        """Return what else the broker is told."""
        return {"tenant": "7"}


#: {"sub": "shop", "exp": 2000000000}
WEB_TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9wIiwiZXhwIjoyMDAwMDAwMDAwfQ."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Provider(WEB_TOKEN), (WEB_TOKEN, 2_000_000_000_000, "shop", {"tenant": "7"})),
        (lambda: WEB_TOKEN, (WEB_TOKEN, 2_000_000_000_000, "shop", {})),
        (lambda: (b"opaque", 2e9), ("opaque", 2_000_000_000_000, "beltline", {})),
        (lambda: Token("t", 3e9, "p", {"a": "b"}), ("t", 3_000_000_000_000, "p", {"a": "b"})),
    ],
)
def test_tokens(source: Any, expected: Any) -> None:
    made = options(broker_credentials=OAuthCredentials(oauth_cb=source))
    assert (made["security.protocol"], made["sasl.mechanism"]) == ("SASL_PLAINTEXT", "OAUTHBEARER")
    assert made["beltline.token"]() == expected


def test_a_token_that_does_not_say_when_it_runs_out_is_taken_for_a_while() -> None:
    _, expires, _, _ = options(broker_credentials=OAuthCredentials(oauth_cb=lambda: "opaque"))["beltline.token"]()
    assert expires > 1_600_000_000_000


def test_what_is_no_token_is_refused() -> None:
    for made in (5, "", None, object()):
        with pytest.raises(TypeError, match="a token is text"):
            OAuthCredentials(oauth_cb=lambda made=made: made).fetch()
    with pytest.raises(TypeError, match="method token"):
        OAuthCredentials(oauth_cb="token")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SASLCredentials(mechanism="MD5"), "it is one of PLAIN"),
        (lambda: SASLCredentials(mechanism="OAUTHBEARER"), "use OAuthCredentials"),
        (lambda: SASLCredentials(mechanism="GSSAPI"), "use GSSAPICredentials"),
        (lambda: GSSAPICredentials(mechanism="PLAIN"), "for GSSAPI"),
    ],
)
def test_mechanisms_that_cannot_be(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_credentials_without_a_password() -> None:
    with pytest.raises(ImproperlyConfigured, match="PLAIN needs password"):
        options(broker_credentials=SASLCredentials(username="u"))


def test_other_things_are_no_credentials() -> None:
    with pytest.raises(ImproperlyConfigured, match="not str"):
        settings(broker_credentials=SECRET)
    with pytest.raises(ImproperlyConfigured, match="not str"):
        options(ssl_context="yes")
    with pytest.raises(TypeError, match="not str"):
        SASLCredentials(ssl_context="yes")  # type: ignore[arg-type]


# -- secrets -----------------------------------------------------------------------------------------------------------


def secret_settings(authority: Path) -> list[dict[str, Any]]:
    """Return settings with a secret in every place where there can be one."""
    tls = SSLCredentials(cafile=authority, certfile=authority, keyfile=authority.with_suffix(".key"), password=SECRET)
    return [
        {"broker_credentials": SASLCredentials(username="u", password=SECRET)},
        {"broker_credentials": SASLCredentials(username="u", password=SECRET, ssl_context=tls)},
        {"broker_credentials": tls},
        {"ssl_context": tls},
        {"broker_credentials": OAuthCredentials(oauth_cb=lambda: SECRET)},
        *({"broker_options": {name: SECRET}} for name in SECRET_OPTIONS),
        {"broker_options": {f"consumer.{SECRET_OPTIONS[0]}": SECRET}},
    ]


SECRET_OPTIONS = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.kerberos.kinit.cmd",
]


def test_no_secret_is_shown(authority: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = secret_settings(authority)
    assert len(cases) > 10
    for given in cases:
        app = beltline.App("shop", broker="kafka://here", **given)
        with caplog.at_level(logging.DEBUG):
            app.finalize()
            made = kafka_options(app.conf)
            logging.getLogger("test").info("%s %r %s", made, made, app.conf)
        own = repr(given.get("broker_credentials") or given.get("ssl_context"))
        for text in (repr(app), repr(app.conf), str(made), repr(made), own, caplog.text):
            assert SECRET not in text
    assert "settings of shop" in caplog.text


def test_no_secret_is_in_an_error(authority: Path) -> None:
    for given in (
        {"broker_options": f'{{"sasl.password": "{SECRET}"'},
        {"broker_options": {"sasl.password": SECRET, "socket.timeout.ms": None}},
        {"broker_options": {"sasl.password": SECRET, "group.id": "x"}},
        {
            "broker_options": {"sasl.password": SECRET},
            "broker_credentials": SASLCredentials(username="u", password=SECRET),
        },
        {"broker_credentials": {"password": SECRET}},
        {"broker_credentials": SASLCredentials(password=SECRET)},
    ):
        with pytest.raises(ImproperlyConfigured) as caught:
            options(**given)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert SECRET not in repr(chain)
            chain = chain.__cause__


def test_a_traceback_with_local_variables_shows_none() -> None:
    given = {"broker_credentials": SASLCredentials(username="u", password=SECRET)}
    made = options(**given)
    try:
        raise RuntimeError(f"failed with {made}")
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "sasl.username" in shown
    assert SECRET not in shown


def test_options_are_a_plain_dict_for_the_engine() -> None:
    made = options(broker_credentials=SASLCredentials(username="u", password="p"))
    assert isinstance(made, dict)
    assert pickle.loads(pickle.dumps(dict(made)))["sasl.password"] == "p"
