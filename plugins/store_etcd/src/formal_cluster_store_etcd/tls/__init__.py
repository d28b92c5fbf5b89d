"""TLS: the certificate files, whether they are any good, and what is made of them."""
