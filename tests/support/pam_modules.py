"""PAM modules that behave badly, or ask a second question: compiled by gcc, without anybody's header files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = """\
struct pam_handle;
extern int pam_prompt(struct pam_handle *, int, char **, const char *, ...);
extern int pause(void);
extern int strcmp(const char *, const char *);
extern int atoi(const char *);

int pam_sm_setcred(struct pam_handle *h, int flags, int argc, const char **argv) { return 0; }

int pam_sm_authenticate(struct pam_handle *h, int flags, int argc, const char **argv)
{
    char *given = 0;
    if (argc == 1 && !strcmp(argv[0], "hang"))
        for (;;)
            pause();
    if (argc == 1 && !strcmp(argv[0], "crash"))
        *(volatile int *) 8 = 1;
    if (argc == 2 && !strcmp(argv[0], "give"))
        return atoi(argv[1]);
    if (argc == 2 && !strcmp(argv[0], "code"))
        return pam_prompt(h, 2, &given, "Code of %s: ", "today") || !given || strcmp(given, argv[1]) ? 7 : 0;
    return 3;
}

int pam_sm_acct_mgmt(struct pam_handle *h, int flags, int argc, const char **argv)
{
    return argc == 2 && !strcmp(argv[0], "give") ? atoi(argv[1]) : 3;
}
"""
COMPILER_DEADLINE = 60.0
# users of the bad days; nobody has an account of these names
HANG, CRASH, SLEEP, NAP = "x2gt-hang", "x2gt-crash", "x2gt-sleep", "x2gt-nap"


@dataclass(frozen=True)
class PamModule:
    """The one compiled module; its arguments say what it does."""

    path: Path

    def hangs(self) -> str:
        """Waits for ever."""
        return f"auth required {self.path} hang\n"

    def crashes(self) -> str:
        """Writes where it must not."""
        return f"auth required {self.path} crash\n"

    def gives(self, code: int, phase: str = "auth") -> str:
        """Says this code of PAM, in the phase `auth` or `account`."""
        return f"{phase} required {self.path} give {code}\n"

    def asks_for(self, code: str) -> str:
        """Asks a question of its own; this is the answer."""
        return f"auth required {self.path} code {code}\n"


def compile_module(folder: Path) -> PamModule:
    """Compile the module into this folder. The C library's development files are not needed."""
    source, target = folder / "module.c", folder / "pam_x2gobroker_test.so"
    source.write_text(SOURCE, encoding="utf-8")
    words = ["gcc", "-shared", "-fPIC", "-nostdlib", "-O1", "-o", str(target), str(source), "-l:libpam.so.0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILER_DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return PamModule(target)


def only_for(user: str, line: str) -> str:
    """A line of a PAM service that counts for one user only."""
    return f"auth [success=1 default=ignore] pam_succeed_if.so quiet user != {user}\n{line}"


@dataclass(frozen=True)
class HangingPam:
    """Users whose login hangs, crashes, sleeps 30 s or 1 s in a PAM module; all others have an ordinary one."""

    module: PamModule
    folder: Path

    @property
    def pids(self) -> Path:
        """Where the sleeping program leaves its process IDs."""
        return self.folder / "pids"

    def lines(self) -> str:
        """The text of the PAM service."""
        script = self.folder / "sleep-30"
        script.write_text(f"#!/bin/sh\necho $$ >>{self.pids}\nexec sleep 30\n")
        script.chmod(0o755)
        faults = {
            HANG: self.module.hangs(),
            CRASH: self.module.crashes(),
            SLEEP: f"auth required pam_exec.so expose_authtok quiet {script}\n",
            NAP: "auth required pam_exec.so quiet /bin/sleep 1\nauth sufficient pam_permit.so\n",
        }
        text = "".join(only_for(user, line) for user, line in faults.items() if user != NAP)
        text += f"auth [success=2 default=ignore] pam_succeed_if.so quiet user != {NAP}\n{faults[NAP]}"
        text += "auth required pam_unix.so nodelay\n"
        text += f"account [success=done default=ignore] pam_succeed_if.so quiet user = {NAP}\n"
        return text + "account required pam_unix.so\npassword required pam_unix.so sha512 rounds=1000\n"

    def end_sleepers(self) -> None:
        """End the programs that outlive their worker process."""
        for pid in self.pids.read_text().split() if self.pids.exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
