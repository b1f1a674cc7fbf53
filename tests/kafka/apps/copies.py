"""Copies records byte by byte, with headers and timestamps; security as the variables say."""

from __future__ import annotations

import os

import beltline as faust

APP_ID = os.environ["APP_ID"]


class Tokens:
    """Makes tokens, with what else a broker may want to know."""

    def token(self):
        """Return the token that a variable holds."""
        return os.environ["TOKEN"]

    def extensions(self):
        """Return SASL extensions."""
        return {"logicalCluster": "lkc-1", "identityPoolId": "pool-9"}


def credentials():
    """Return the credentials that the variables describe."""
    mechanism, authority = os.environ.get("MECHANISM"), os.environ.get("CAFILE")
    certificate, key = os.environ.get("CERTFILE"), os.environ.get("KEYFILE")
    tls = None
    if authority is not None:
        password = os.environ.get("KEY_PASSWORD")
        tls = faust.SSLCredentials(cafile=authority, certfile=certificate, keyfile=key, password=password)
    if mechanism is None:
        return tls
    if mechanism == "OAUTHBEARER":
        return faust.OAuthCredentials(oauth_cb=Tokens(), ssl_context=tls)
    name, password = os.environ["USERNAME"], os.environ["PASSWORD"]
    return faust.SASLCredentials(username=name, password=password, mechanism=mechanism, ssl_context=tls)


app = faust.App(APP_ID, topic_partitions=1, broker_credentials=credentials())
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
given = app.topic(os.environ.get("IN", f"{APP_ID}-in"), allow_empty=True, **RAW)
copied = app.topic(os.environ.get("OUT", f"{APP_ID}-out"), **RAW)


@app.agent(given)
async def copy(stream):
    """Copy."""
    async for event in stream.events():
        message = event.message
        headers = list(message.headers or ())
        await copied.send(key=message.key, value=message.value, timestamp=message.timestamp, headers=headers)


@app.task
async def begun():
    """Say so."""
    print("the app runs", flush=True)


if __name__ == "__main__":
    app.main()
