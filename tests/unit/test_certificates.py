"""A certificate that signs itself is one that a client can check."""

import datetime
import ssl

from cryptography import x509

from autograder.ground.certificates import self_signed


def test_the_certificate_names_its_host_and_belongs_to_its_key(tmp_path):
    certificate, key = self_signed("hooks.shop.svc")
    read = x509.load_pem_x509_certificate(certificate.encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hooks.shop.svc"]
    assert read.not_valid_before_utc < datetime.datetime.now(datetime.UTC) < read.not_valid_after_utc
    for name, text in (("tls.crt", certificate), ("tls.key", key)):
        (tmp_path / name).write_text(text)
    ssl.create_default_context(cadata=certificate)  # an authority that Python takes
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_each_is_another():
    assert self_signed("a.b.svc") != self_signed("a.b.svc")
