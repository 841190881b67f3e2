"""Where `without_credentials` used to be: it is in runtime/sources/address.py."""

from runtime.sources.address import without_credentials as without_credentials
