"""TLS: the context that the directives tls-* describe."""
import ssl

from .config import Config
from .directive import Directive

NO_CERTIFICATE = "No tls-cert-file and tls-key-file configured!"
NO_AUTHORITY = "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-auth-clients is enabled!"
BAD_PROTOCOL = "Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and 'TLSv1.3'."

_PROTOCOLS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}

#: The rows of the table of directives. A change of one of them makes a new context, for connections to come.
DIRECTIVES = (
    Directive("tls-port", "int", 0, most=65535, immutable=True),
    Directive("tls-cert-file", "string", ""),
    Directive("tls-key-file", "string", ""),
    Directive("tls-key-file-pass", "string", ""),
    Directive("tls-ca-cert-file", "string", ""),
    Directive("tls-ca-cert-dir", "string", ""),
    Directive("tls-dh-params-file", "string", ""),
    Directive("tls-auth-clients", "enum", "yes", choices=("no", "yes", "optional")),
    Directive("tls-protocols", "string", ""),
    Directive("tls-ciphers", "string", ""),
    Directive("tls-prefer-server-ciphers", "bool", False),
    Directive("tls-session-caching", "bool", True),
)


def make_context(config: Config) -> ssl.SSLContext:
    """The context for connections from now on. Raises ValueError if files or directives do not fit together."""
    cert, key = config["tls-cert-file"], config["tls-key-file"]
    if not cert or not key:
        raise ValueError(NO_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, config["tls-key-file-pass"])
        authority, directory = config["tls-ca-cert-file"], config["tls-ca-cert-dir"]
        if authority or directory:
            context.load_verify_locations(authority or None, directory or None)
        if config["tls-dh-params-file"]:
            context.load_dh_params(config["tls-dh-params-file"])
        if config["tls-ciphers"]:
            context.set_ciphers(config["tls-ciphers"])
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{error.strerror or error}") from None
    asked = config["tls-auth-clients"]
    if asked == "yes" and not (authority or directory):
        raise ValueError(NO_AUTHORITY)
    context.verify_mode = {"no": ssl.CERT_NONE, "yes": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}[asked]
    _set_versions(context, config["tls-protocols"])
    if config["tls-prefer-server-ciphers"]:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if not config["tls-session-caching"]:
        context.options |= ssl.OP_NO_TICKET
    return context


def _set_versions(context: ssl.SSLContext, text: str) -> None:
    words = text.lower().split()
    if set(words) - _PROTOCOLS.keys():
        raise ValueError(BAD_PROTOCOL)
    versions = sorted(_PROTOCOLS[word] for word in words) or [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    context.minimum_version, context.maximum_version = versions[0], versions[-1]
