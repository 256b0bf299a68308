"""The certificates of an installation: one CA of its own, and a certificate for each process that serves TLS.

Pure but for key generation: time is an argument, nothing is read or written. Must never log a private key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
#: Clocks of nodes differ: a certificate is valid from a little before it was made.
_BACKDATE = timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Identity:
    """Who a server is: the DNS names and IP addresses that clients reach it by."""

    names: Sequence[str]
    addresses: Sequence[str] = ()
    is_client: bool = False
    """Whether another server of ours knows it by this certificate."""

    @property
    def subject(self) -> str:
        """The common name; only for people, clients look at the alternative names."""
        return self.names[0]


def new_authority(name: str, now: datetime) -> KeyPair:
    """A self-signed CA that may sign servers, but no further CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"{name} CA")
    builder = _builder(subject, subject, key.public_key(), now, now + CA_LIFETIME)
    usage = _usage(sign_certificates=True)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: KeyPair, identity: Identity, now: datetime) -> KeyPair:
    """A server's certificate for `identity`, signed by `authority`; never outlives it."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"the CA's key: found {type(issuer_key).__name__}, expected an elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + LEAF_LIFETIME, issuer.not_valid_after_utc)
    builder = _builder(_name(identity.subject), issuer.subject, key.public_key(), now, until)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    if identity.is_client:
        usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    # Python 3.13 and others verify strictly: without the key identifiers they refuse the chain.
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer_id, critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(identity)), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def why_new_authority(found: KeyPair, now: datetime) -> str | None:
    """Why a CA must be made anew; None while it is good."""
    try:
        return _why_unusable(found, now)
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"


def why_new_certificate(found: KeyPair, authority: KeyPair, identity: Identity, now: datetime) -> str | None:
    """Why a server's certificate must be made anew; None while it is good."""
    try:
        problem = _why_unusable(found, now)
        certificate = x509.load_pem_x509_certificate(found.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    except x509.ExtensionNotFound:
        return "it names no host"
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    except Exception as error:  # InvalidSignature has no more specific base
        return f"it is not signed by this CA ({type(error).__name__})"
    if problem is None and set(names) != set(_alternatives(identity)):
        return "the server is reached by other names or addresses now"
    return problem


def _why_unusable(found: KeyPair, now: datetime) -> str | None:
    certificate = x509.load_pem_x509_certificate(found.certificate)
    key = serialization.load_pem_private_key(found.key, password=None)
    if certificate.public_key() != key.public_key():
        return "certificate and key do not belong together"
    if certificate.not_valid_after_utc - now < RENEW_BEFORE:
        return f"it expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return None


def _name(common: str) -> x509.Name:
    # X.509 allows 64 characters; the alternative names hold the whole.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _alternatives(identity: Identity) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    return names + [x509.IPAddress(ip_address(address)) for address in identity.addresses]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
