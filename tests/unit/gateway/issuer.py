"""A cluster's token issuer: signs tokens as a kubelet gets them, and publishes its keys."""

import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://kubernetes.default.svc"
NAMESPACE = "citadel-sandboxes"


@dataclass
class Issuer:
    """An issuer with the key of `kid`."""

    kid: str = "key-1"
    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )

    def published(self) -> dict[str, Any]:
        """What the controller stores of it."""
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {
            "issuer": ISSUER,
            "jwks": {"keys": [{**jwk, "kid": self.kid, "alg": "RS256", "use": "sig"}]},
        }

    def token(self, pod: str, uid: str, **claims: Any) -> str:
        """A token bound to a pod; `claims` replace claims, None removes one."""
        now = int(time.time())
        bound = {
            "namespace": NAMESPACE,
            "pod": {"name": pod, "uid": uid},
            "serviceaccount": {"name": "sandbox", "uid": "sa-1"},
        }
        usual = {
            "aud": ["citadel-gateway"],
            "exp": now + 600,
            "iat": now,
            "nbf": now,
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{NAMESPACE}:sandbox",
            "kubernetes.io": bound,
        }
        payload = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(payload, self.key, algorithm="RS256", headers={"kid": self.kid})
