"""How to reach a broker and who may do what there, as plain data that goes through a file or a variable."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .keys import Keys

#: The password of every user that has one.
PASSWORD: Final = "correct-horse-7f3a"

#: May do everything; the same name for PLAIN, SCRAM and OAUTHBEARER.
USER: Final = "beltline"

#: Is let in, and may do nothing.
GUEST: Final = "guest"

#: Listeners of a secured node, with the protocol that clients name.
LISTENERS: Final = {
    "PLAINTEXT": "PLAINTEXT",
    "TLS": "SSL",
    "MTLS": "SSL",
    "EXPIRED": "SSL",
    "SASL": "SASL_PLAINTEXT",
    "SASLTLS": "SASL_SSL",
}

#: What the SASL listeners offer.
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@dataclass(frozen=True)
class Description:
    """A running broker or cluster.

    Attributes:
        bootstrap: ``host:port`` of each node's plain listener, with commas.
        listeners: ``host:port`` by the name of the listener; only `PLAINTEXT` on a node that is not secured.
        key_folder: Where the certificates are; empty on a node that is not secured.
    """

    bootstrap: str
    listeners: dict[str, str] = field(default_factory=dict)
    key_folder: str = ""

    @property
    def keys(self) -> Keys:
        """The certificates."""
        return Keys(Path(self.key_folder))

    @property
    def url(self) -> str:
        """What an app takes as its ``broker``."""
        return "kafka://" + self.bootstrap.replace(",", ";")

    def dumps(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Description:
        """Return what `dumps` wrote."""
        return cls(**json.loads(text))
