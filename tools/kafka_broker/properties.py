"""The configuration of one node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .description import GUEST, LISTENERS, MECHANISMS, PASSWORD, USER
from .keys import CLIENT_NAME, Keys

#: Small and quick: a broker for tests shares a few cores with everything else.
COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    "group.initial.rebalance.delay.ms": "0",
    # Sessions shorter than Kafka's six seconds keep tests of dying workers short.
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    # How often the broker looks for transactions whose time is up; Kafka's default is ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "num.network.threads": "1",
    "num.io.threads": "4",
    # Compaction that a test can wait for.
    "log.cleaner.backoff.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    # Records keep the times that tests give them; a broker with a retention would throw old ones away.
    "log.retention.ms": "-1",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "500",
    # A cluster notices soon that a node hangs, but one on busy cores does not take its own nodes for dead.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "9000",
    "replica.lag.time.max.ms": "3000",
}


@dataclass(frozen=True)
class NodePlan:
    """What one node is to be.

    Attributes:
        node_id: Its number, from 1.
        folder: Where its data and configuration go.
        ports: By name of the listener, `CONTROLLER` included.
        voters: The ``controller.quorum.voters`` of the cluster.
        nodes: How many there are.
        keys: Certificates of a secured node.
        extra: Properties that a test wants to be different.
    """

    node_id: int
    folder: Path
    ports: dict[str, int]
    voters: str
    nodes: int
    keys: Keys | None
    extra: dict[str, str]


def server_properties(plan: NodePlan) -> str:
    """Return the file's text."""
    clients = [name for name in plan.ports if name != "CONTROLLER"]
    copies = str(min(plan.nodes, 3))
    protocols = {"CONTROLLER": "PLAINTEXT", **{name: LISTENERS[name] for name in clients}}
    lines = {
        **COMMON,
        "node.id": str(plan.node_id),
        "controller.quorum.voters": plan.voters,
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in plan.ports.items()),
        "advertised.listeners": ",".join(f"{name}://127.0.0.1:{plan.ports[name]}" for name in clients),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "log.dirs": str(plan.folder / "data"),
        "default.replication.factor": copies,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "min.insync.replicas": "2" if plan.nodes >= 3 else "1",
        "transaction.state.log.min.isr": "2" if plan.nodes >= 3 else "1",
        **(security(plan.keys) if plan.keys is not None else {}),
        **plan.extra,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def security(keys: Keys) -> dict[str, str]:
    """Return what the TLS and SASL listeners need, and rights that `guest` has not."""
    plain = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'user_{USER}="{PASSWORD}" user_{GUEST}="{PASSWORD}";'
    )
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    oauth = (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";'
    )
    lines = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN={CLIENT_NAME}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.authority),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": str(keys.expired_server),
    }
    for listener in ("sasl", "sasltls"):
        prefix = f"listener.name.{listener}."
        lines[prefix + "sasl.enabled.mechanisms"] = ",".join(MECHANISMS)
        lines[prefix + "plain.sasl.jaas.config"] = plain
        lines[prefix + "scram-sha-256.sasl.jaas.config"] = scram
        lines[prefix + "scram-sha-512.sasl.jaas.config"] = scram
        lines[prefix + "oauthbearer.sasl.jaas.config"] = oauth
        # Takes tokens that nobody signed: no token server is needed, and nobody would do so outside of tests.
        lines[prefix + "oauthbearer.sasl.server.callback.handler.class"] = (
            "org.apache.kafka.common.security.oauthbearer.internals.unsecured"
            ".OAuthBearerUnsecuredValidatorCallbackHandler"
        )
    return lines
