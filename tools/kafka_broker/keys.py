"""Certificates of a broker and its clients, made anew for each one: a CA of our own, good, expired and foreign ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .jars import BrokerError, program

#: Of the private key of `Keys.client_locked_key`.
KEY_PASSWORD: Final = "opens-the-client-key"

#: Common name of the client's certificate, by which the broker's rights know it.
CLIENT_NAME: Final = "beltline-client"

SERVER_EXTENSIONS: Final = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"


@dataclass(frozen=True)
class Keys:
    """Paths of PEM files."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The CA that signed everything but `stranger`."""
        return self.folder / "authority.pem"

    @property
    def stranger(self) -> Path:
        """A CA that signed nothing here."""
        return self.folder / "stranger.pem"

    @property
    def server(self) -> Path:
        """The server's key and certificate in one file."""
        return self.folder / "server-both.pem"

    @property
    def expired_server(self) -> Path:
        """The same with a certificate that has run out."""
        return self.folder / "expired-server-both.pem"

    @property
    def client(self) -> Path:
        """The client's certificate."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Its key, readable by anybody."""
        return self.folder / "client.key"

    @property
    def client_locked_key(self) -> Path:
        """Its key, under `KEY_PASSWORD`."""
        return self.folder / "client-locked.key"

    @property
    def expired_client(self) -> Path:
        """A client's certificate that has run out; its key is `expired_client_key`."""
        return self.folder / "expired-client.pem"

    @property
    def expired_client_key(self) -> Path:
        """The key of `expired_client`."""
        return self.folder / "expired-client.key"


def openssl(*arguments: str | Path) -> None:
    """Run openssl.

    Raises:
        BrokerError: It failed.
    """
    command = [program("openssl"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise BrokerError(f"{' '.join(command)} failed:\n{done.stderr}")


def new_key(path: Path) -> None:
    """Make a private key."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def authority(folder: Path, name: str) -> None:
    """Make a CA."""
    new_key(folder / f"{name}.key")
    subject = ("-subj", f"/CN=beltline test {name}")
    openssl(
        "req", "-x509", "-new", "-key", folder / f"{name}.key", "-days", "2", *subject, "-out", folder / f"{name}.pem"
    )


def certificate(folder: Path, name: str, common_name: str, *, expired: bool = False) -> None:
    """Make a key and a certificate signed by the CA."""
    key, request, extensions = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.ext"
    new_key(key)
    extensions.write_text(SERVER_EXTENSIONS)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={common_name}", "-out", request)
    signer = ("-CA", folder / "authority.pem", "-CAkey", folder / "authority.key", "-CAcreateserial")
    life = ("-days", "-1" if expired else "2")
    openssl("x509", "-req", "-in", request, *signer, *life, "-extfile", extensions, "-out", folder / f"{name}.pem")
    both = key.read_text() + (folder / f"{name}.pem").read_text() + (folder / "authority.pem").read_text()
    (folder / f"{name}-both.pem").write_text(both)


def make_keys(folder: Path) -> Keys:
    """Make everything; takes half a second."""
    folder.mkdir(parents=True, exist_ok=True)
    authority(folder, "authority")
    authority(folder, "stranger")
    certificate(folder, "server", "localhost")
    certificate(folder, "client", CLIENT_NAME)
    certificate(folder, "expired-server", "localhost", expired=True)
    certificate(folder, "expired-client", CLIENT_NAME, expired=True)
    keys = Keys(folder)
    cipher = ("-v2", "aes-256-cbc", "-passout", f"pass:{KEY_PASSWORD}")
    openssl("pkcs8", "-topk8", "-in", keys.client_key, *cipher, "-out", keys.client_locked_key)
    return keys
