"""Make a certificate for a server inside the cluster that signs itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAYS = 3650  # a course's cluster is made anew long before that


def self_signed(host: str) -> tuple[str, str]:
    """Return a certificate for `host` and its key, both as PEM.

    >>> certificate, key = self_signed("hooks.shop.svc")
    >>> certificate.splitlines()[0], key.splitlines()[0]
    ('-----BEGIN CERTIFICATE-----', '-----BEGIN EC PRIVATE KEY-----')
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the node's clock may be behind
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    return certificate.public_bytes(pem).decode(), private.decode()
