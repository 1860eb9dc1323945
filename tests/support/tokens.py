"""Issuers of JSON Web Tokens, and tokens good and bad."""
import base64
import json
import time

import jwt
from cryptography.hazmat.primitives import serialization

from support import certificates

ISSUER = "https://id.example"
AUDIENCE = "reeve"


def encoded(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(tenant, **changes):
    """Good claims; a change of None takes the claim out."""
    now = int(time.time())
    found = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, "tenantId": tenant,
             **changes}
    return {name: value for name, value in found.items() if value is not None}


class Issuer:
    """A key of one algorithm, registered with a Reeve under the algorithm's name."""

    def __init__(self, algorithm, issuer=ISSUER, key_id=None):
        self.algorithm = algorithm
        self.issuer = issuer
        self.key_id = key_id or f"key-{algorithm.lower()}"
        self.key = {"RS256": certificates.rsa_key, "ES256": certificates.ec_key,
                    "EdDSA": certificates.ed25519_key,
                    "HS256": lambda: b"a secret of more than thirty-two bytes"}[algorithm]()

    def public_bytes(self):
        """What `reeve issuer add` is given: a public key, or the shared secret."""
        return self.key if self.algorithm == "HS256" else certificates.public_pem(self.key)

    def jwk(self):
        if self.algorithm == "HS256":
            found = {"kty": "oct", "k": encoded(self.key)}
        elif self.algorithm == "EdDSA":
            raw = self.key.public_key().public_bytes(serialization.Encoding.Raw,
                                                     serialization.PublicFormat.Raw)
            found = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw)}
        else:
            algorithm = jwt.algorithms.get_default_algorithms()[self.algorithm]
            found = json.loads(algorithm.to_jwk(self.key.public_key()))
        return {**found, "kid": self.key_id, "use": "sig", "alg": self.algorithm}

    def token(self, tenant, key=None, algorithm=None, headers=None, **changes):
        changes.setdefault("iss", self.issuer)
        headers = {"kid": self.key_id} if headers is None else headers
        return jwt.encode(claims(tenant, **changes), key or self.key,
                          algorithm=algorithm or self.algorithm, headers=headers)

    def register(self, reeve, folder, *options, jwks=False):
        """`reeve issuer add`, with a key file or a JWKS file."""
        path = folder / f"{self.algorithm}-{self.key_id}.{'json' if jwks else 'pem'}"
        if jwks:
            path.write_text(json.dumps({"keys": [self.jwk()]}))
        else:
            path.write_bytes(self.public_bytes())
        kind = "--jwks" if jwks else ("--secret" if self.algorithm == "HS256" else "--key")
        # One issuer a key: they share no name.
        reeve.cli("issuer", "add", path.stem.lower(), "--issuer", self.issuer, "--audience",
                  AUDIENCE, kind, path, *options)


def unsigned(tenant, header, **changes):
    """A token with the header as given and no signature."""
    return f"{encoded(header)}.{encoded(claims(tenant, **changes))}."
