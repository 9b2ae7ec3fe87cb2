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
)
SCHEMES = ("argon2", "bcrypt", "sha512_crypt")
BCRYPT_LIMIT = 72


def hash_password(password: str, scheme: str = "argon2") -> str:
    """The hash of a password. Raises ValueError for what the scheme cannot hold."""
    if scheme == "bcrypt" and len(password.encode("utf-8")) > BCRYPT_LIMIT:
        raise ValueError(f"bcrypt counts {BCRYPT_LIMIT} bytes; use argon2 for a longer password")
    return str(CONTEXT.handler(scheme).hash(password))


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password belongs to the hash. Raises ValueError when the hash is of no known scheme."""
    if hashed.startswith("$2") and len(password.encode("utf-8")) > BCRYPT_LIMIT:
        return False
    return bool(CONTEXT.verify(password, hashed))
