"""Password hashes: which schemes are read and written, in one place."""

from __future__ import annotations

from passlib.context import CryptContext

# argon2 first: what `x2gobroker passwd` writes. The others are read: crypt(3)'s, and Apache's htpasswd -B and -2/-5.
CONTEXT = CryptContext(
    schemes=["argon2", "bcrypt", "sha512_crypt", "sha256_crypt"],
    argon2__memory_cost=19456,
    argon2__time_cost=2,
    argon2__parallelism=1,
    bcrypt__rounds=12,
    sha512_crypt__rounds=100_000,
)
SCHEMES = ("argon2", "bcrypt", "sha512_crypt")
BCRYPT_LIMIT = 72
# the cost of SHA-crypt grows with the password: a long one would keep a processor busy for seconds
SHA_CRYPT_LIMIT = 256


def hash_password(password: str, scheme: str = "argon2") -> str:
    """The hash of a password. Raises ValueError for what the scheme cannot hold."""
    limit = {"bcrypt": BCRYPT_LIMIT, "sha512_crypt": SHA_CRYPT_LIMIT}.get(scheme)
    if limit is not None and len(password.encode("utf-8")) > limit:
        raise ValueError(f"{scheme} counts {limit} bytes; use argon2 for a longer password")
    return str(CONTEXT.handler(scheme).hash(password))


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password belongs to the hash. Raises ValueError when the hash is of no known scheme."""
    size = len(password.encode("utf-8", "surrogatepass"))
    if (hashed.startswith("$2") and size > BCRYPT_LIMIT) or (hashed[:3] in ("$5$", "$6$") and size > SHA_CRYPT_LIMIT):
        return False
    try:
        return bool(CONTEXT.verify(password, hashed))
    except TypeError:  # libpass, for some damaged hashes
        raise ValueError("the hash is damaged") from None
