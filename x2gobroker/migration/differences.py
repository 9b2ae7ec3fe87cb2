"""What will be different after the migration, and for whom, as the site's own configuration has it.

Session profiles have a module of their own, `profile_differences.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from x2gobroker.agents.rules import LOCAL, NONE, AgentRules, agent_rules
from x2gobroker.loadchecker.targets import endpoints_of
from x2gobroker.migration.findings import Finding, several
from x2gobroker.migration.profile_differences import PROFILE_DIFFERENCES, autologin
from x2gobroker.migration.site import Site
from x2gobroker.migration.units import AUTHSERVICE
from x2gobroker.model.hosts import Endpoint
from x2gobroker.plugins import SCRIPTS, registered
from x2gobroker.settings import BACKEND_PREFIX, GLOBAL
from x2gobroker.ssh.host_keys import command_to_ask, known_names
from x2gobroker.ssh.routes import REJECT

INIFILE = "inifile"


def mechanisms(site: Site) -> set[str]:
    """The auth mechanisms of the backends that are enabled."""
    return {
        site.settings.for_backend(name, "auth-mech").lower()
        for name in (INIFILE, "zeroconf")
        if site.settings.backend_enabled(name)
    }


def _sign_ins(site: Site) -> Iterator[Finding]:
    who = "everybody whose client is open during the swap"
    if site.settings.boolean(GLOBAL, "require-cookie"):
        yield Finding(
            "sign-ins",
            "their logins at the former broker do not count any more, and with require-cookie a password alone does "
            "not let them in: their clients go on showing an authid of the former broker, and are refused",
            who,
            "have them close X2Go Client or PyHoca, and start it again: then it shows the pre-shared authid",
        )
        return
    yield Finding(
        "sign-ins",
        "their logins at the former broker do not count any more. X2Go Client logs in again by itself with the next "
        "request; PyHoca asks for the password once",
        who,
    )


def _refusal(site: Site) -> Iterator[Finding]:
    if site.settings.text(GLOBAL, "plain-refusal") != "status":
        yield Finding(
            "plain-refusal",
            "they may try again: the answer is a 200 that does not grant access. 0.0.4.3 answers 401, upon which X2Go "
            "Client ends itself",
            "users of X2Go Client who mistype their password, and programs that look at the status",
            "for the 401: plain-refusal = status",
        )


def _get_requests(site: Site) -> Iterator[Finding]:
    if not site.settings.debug():
        yield Finding(
            "get-requests",
            "GET requests get a 405, as documented: debug mode is off when it is off",
            "scripts of the site that ask the broker by GET, if there are any",
            "have them use POST",
        )


def _open_broker(site: Site) -> Iterator[Finding]:
    unchecked = site.settings.boolean(GLOBAL, "require-password") is False or "none" in mechanisms(site)
    profiles = [profile.id for profile in site.profiles if autologin(site, profile)]
    if unchecked and profiles:
        yield Finding(
            "unchecked-users",
            "no key is given out, as nobody has checked who they are: they type their password at the X2Go Server",
            f"users of {several(profiles)}",
            "let the broker check passwords: auth-mech = pam",
        )


def _cookie_directory(site: Site) -> Iterator[Finding]:
    if (GLOBAL, "cookie-directory") not in site.settings.values:
        return
    path = site.settings.text(GLOBAL, "cookie-directory")
    owner = site.files.get(path)
    mine = owner is not None and site.account is not None and owner.uid == site.account.uid
    yield Finding(
        "cookie-directory",
        f"cookie-directory = {path} counts from now on: the state store is there. 0.0.4.3 ignores it in most "
        "installations",
        "administrators",
        "" if mine else f"the account x2gobroker has to be able to write there: chown x2gobroker {path}",
    )


def _profiles_file(site: Site) -> Iterator[Finding]:
    key = (BACKEND_PREFIX + INIFILE, "session-profiles")
    path = site.settings.text(*key)
    by_file = key in site.settings.values and not site.settings.environment("X2GOBROKER_SESSIONPROFILES")
    if by_file and path != "/etc/x2go/broker/x2gobroker-sessionprofiles.conf":
        yield Finding(
            "session-profiles",
            f"the session profiles are those of {path}, as session-profiles says. 0.0.4.3 ignores that, and reads "
            "/etc/x2go/broker/x2gobroker-sessionprofiles.conf",
            "everybody",
            "make sure that it is the right file, or delete the option",
        )


def _zeroconf(site: Site) -> Iterator[Finding]:
    if site.settings.backend_enabled("zeroconf"):
        yield Finding(
            "zeroconf-id",
            "its session profile has the id localhost, which stays. 0.0.4.3 has a new id with every list",
            "users of the backend zeroconf, whose clients remember profiles by id",
        )


def _scripts(site: Site) -> Iterator[Finding]:
    for option in ("pre_auth_scripts", "post_auth_scripts", "select_session_scripts"):
        value = site.settings.value(GLOBAL, option)
        missing = [name for name in value if name not in registered(SCRIPTS)] if isinstance(value, tuple) else []
        if missing:
            yield Finding(
                "scripts",
                f"{option} names {several(missing)}: scripts are entry points now, and these are not installed",
                "everybody who logs in",
                "docs/how-to/scripts.md says how to make one of a script that was written for 0.0.4.3",
            )


def _host_keys(site: Site) -> Iterator[Finding]:
    """Servers that broker and agents would refuse."""
    unknown: dict[str, str] = {}
    profiles = []
    for profile, rules, endpoint in _asked(site):
        if rules.host_key_policy != REJECT or _is_known(site, endpoint):
            continue
        unknown.setdefault(endpoint.key, command_to_ask(endpoint))
        profiles.append(profile)
    if unknown:
        yield Finding(
            "host-keys",
            f"{len(unknown)} X2Go Servers have host keys that the broker does not know, and it does not talk to them: "
            "their sessions are not found, and no key is put there. 0.0.4.3 talks to unknown servers when it does that",
            f"users of {several(list(dict.fromkeys(profiles)))}",
            "ask each once, and compare the fingerprint: " + "; ".join(unknown.values()),
        )


def _asked(site: Site) -> Iterator[tuple[str, AgentRules, Endpoint]]:
    """Profile, rules and server for each X2Go Server that is reached by SSH."""
    for profile in site.profiles:
        rules = agent_rules(site.settings, INIFILE, profile)
        if rules.mode in (NONE, LOCAL) and not autologin(site, profile):
            continue
        if rules.mode != NONE:
            for _, endpoint in endpoints_of(profile, rules) if rules.mode != LOCAL else ():
                yield profile.id, rules, endpoint


def _is_known(site: Site, endpoint: Endpoint) -> bool:
    names = (*known_names(endpoint), endpoint.name.lower(), endpoint.address.lower())
    return any(key.is_for(name) for key in site.known_hosts if not key.revoked for name in names)


def _no_key(site: Site) -> Iterator[Finding]:
    if not site.keys and next(_asked(site), None) is not None:
        yield Finding(
            "ssh-key",
            "the broker has no SSH key, so it reaches no agent",
            "users whose session profiles have agent-query-mode SSH",
            "x2gobroker-keygen, then x2gobroker-pubkeyauthorizer on each X2Go Server",
        )


def _local_agent(site: Site) -> Iterator[Finding]:
    local = [profile.id for profile in site.profiles if agent_rules(site.settings, INIFILE, profile).mode == LOCAL] or (
        ["the backend zeroconf"] if site.settings.backend_enabled("zeroconf") and _zeroconf_is_local(site) else []
    )
    if local:
        yield Finding(
            "local-agent",
            "agent-query-mode LOCAL: the agent has to become root, which our unit does not allow. Debian's agent is a "
            "set-user-ID program",
            f"users of {several(local)}",
            "agent-query-mode = SSH, also for this host; or loosen the unit, as docs/how-to/load-checker.md says",
        )


def _zeroconf_is_local(site: Site) -> bool:
    return agent_rules(site.settings, "zeroconf").mode == LOCAL


def _several_servers(site: Site) -> Iterator[Finding]:
    if site.settings.boolean(GLOBAL, "default-shared-session-database"):
        return
    profiles = list(dict.fromkeys(profile for profile, _, _ in _asked(site)))
    large = [profile.id for profile in site.profiles if profile.id in profiles and len(profile.hosts) > 1]
    if large:
        yield Finding(
            "all-servers",
            "all servers are asked for sessions, at the same time; 0.0.4.3 asks one at random",
            f"users of {several(large)}, who find more of their sessions",
            "where the servers share a session database: default-shared-session-database = true saves calls",
        )


def _init_files(site: Site) -> Iterator[Finding]:
    if not site.ignored:
        return
    lines = [f"{setting} ({path})" for setting, path in site.ignored.items()]
    yield Finding(
        "init-files",
        f"nothing reads this, as units of systemd never did: {several(lines)}",
        "administrators",
        "what is to count belongs into /etc/x2go/broker/defaults.conf",
    )


def _log_files(site: Site) -> Iterator[Finding]:
    if site.loggers:
        yield Finding(
            "log-files",
            f"{several(list(site.loggers))} goes on to say where logs go; the files are the same, and logs of rotated "
            "files go into the new ones by themselves",
            "administrators",
            "without that file, all go to the journal",
        )
    owner = site.files.get("/var/log/x2gobroker")
    if owner is not None and site.account is not None and owner.gid not in (0, site.account.gid):
        yield Finding(
            "log-folder",
            "/var/log/x2gobroker is for the account x2gobroker and its group only: the group adm no longer reads it",
            "members of the group adm, and programs that collect logs as such",
            "adduser NAME x2gobroker does not do: members may ask the authentication service. Read as root, or the "
            "journal",
        )
    unit = site.unit(AUTHSERVICE)
    if unit.path and not unit.ours:
        yield Finding(
            "authservice-log",
            "/var/log/x2gobroker/authservice.log stays as it is: the authentication service logs to the journal",
            "programs that read it, such as fail2ban",
            "journalctl -u x2gobroker-authservice",
        )


def _empty_passwords(site: Site) -> Iterator[Finding]:
    if "pam" in mechanisms(site):
        yield Finding(
            "empty-passwords",
            "they do not get in any more, whatever the PAM service says",
            "accounts whose password field in /etc/shadow is empty",
        )


def _ssh_broker(site: Site) -> Iterator[Finding]:
    if site.installed("x2gobroker-ssh"):
        yield Finding(
            "ssh-broker",
            "/usr/bin/x2gobroker-ssh is ours, and runs as the broker's account by a rule of sudo. Debian's is a "
            "set-user-ID program",
            "users of the broker over SSH; the group stays the same",
        )


def _other_accounts(site: Site) -> Iterator[Finding]:
    if any(autologin(site, profile) for profile in site.profiles):
        yield Finding(
            "other-accounts",
            "keys are for the user who logged in, or for the profile's user. In 0.0.4.3 a client can ask for any "
            "account by the field login",
            "clients that send login, if there are any",
        )


DIFFERENCES: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    _profiles_file,
    *PROFILE_DIFFERENCES,
    _open_broker,
    _host_keys,
    _no_key,
    _local_agent,
    _several_servers,
    _other_accounts,
    _scripts,
    _sign_ins,
    _refusal,
    _zeroconf,
    _ssh_broker,
    _empty_passwords,
    _get_requests,
    _cookie_directory,
    _init_files,
    _log_files,
)


def differences(site: Site) -> list[Finding]:
    """What will be different, most serious first. Nothing on a machine where there is nothing to migrate."""
    if not site.is_former:
        return []
    return list(dict.fromkeys(finding for look in DIFFERENCES for finding in look(site)))
