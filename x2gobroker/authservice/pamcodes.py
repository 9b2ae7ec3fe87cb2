"""What each code of PAM means for a login: in, out, or that PAM could not check. <security/_pam_types.h>."""

from __future__ import annotations

from x2gobroker.authservice.protocol import OK, REFUSED, UNAVAILABLE

PAM_SUCCESS = 0
PAM_SYSTEM_ERR = 4
PAM_PERM_DENIED = 6
PAM_AUTH_ERR = 7
PAM_AUTHINFO_UNAVAIL = 9
PAM_USER_UNKNOWN = 10
PAM_NEW_AUTHTOK_REQD = 12
PAM_CONV_ERR = 19
PAM_IGNORE = 25

# Every code of Linux-PAM. REFUSED: about this user, password or account; a refusal that is counted. UNAVAILABLE: about
# a module, a server or a file, whoever asks; PAM cannot tell whether the password is right.
OUTCOMES = {
    PAM_SUCCESS: OK,
    1: UNAVAILABLE,  # OPEN_ERR: a module does not load
    2: UNAVAILABLE,  # SYMBOL_ERR
    3: UNAVAILABLE,  # SERVICE_ERR
    PAM_SYSTEM_ERR: UNAVAILABLE,
    5: UNAVAILABLE,  # BUF_ERR
    PAM_PERM_DENIED: REFUSED,
    PAM_AUTH_ERR: REFUSED,
    8: UNAVAILABLE,  # CRED_INSUFFICIENT: this process may not look
    PAM_AUTHINFO_UNAVAIL: UNAVAILABLE,  # the directory cannot be reached
    PAM_USER_UNKNOWN: REFUSED,
    11: REFUSED,  # MAXTRIES
    PAM_NEW_AUTHTOK_REQD: REFUSED,
    13: REFUSED,  # ACCT_EXPIRED
    14: UNAVAILABLE,  # SESSION_ERR
    15: UNAVAILABLE,  # CRED_UNAVAIL
    16: REFUSED,  # CRED_EXPIRED
    17: UNAVAILABLE,  # CRED_ERR
    18: UNAVAILABLE,  # NO_MODULE_DATA
    PAM_CONV_ERR: REFUSED,  # PAM asks more than the client has answers for
    20: REFUSED,  # AUTHTOK_ERR
    21: REFUSED,  # AUTHTOK_RECOVERY_ERR
    22: UNAVAILABLE,  # AUTHTOK_LOCK_BUSY
    23: REFUSED,  # AUTHTOK_DISABLE_AGING
    24: UNAVAILABLE,  # TRY_AGAIN
    PAM_IGNORE: REFUSED,  # nobody has said yes
    26: UNAVAILABLE,  # ABORT
    27: REFUSED,  # AUTHTOK_EXPIRED
    28: UNAVAILABLE,  # MODULE_UNKNOWN
    29: UNAVAILABLE,  # BAD_ITEM
    30: UNAVAILABLE,  # CONV_AGAIN
    31: UNAVAILABLE,  # INCOMPLETE
}


def outcome_of(code: int) -> str:
    """What a code means. One that nobody knows is a refusal: what is not counted can be guessed for ever."""
    return OUTCOMES.get(code, REFUSED)
