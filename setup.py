"""Packaging of x2gobroker; the names of all plug-ins and programs stand here, and only here."""

import runpy
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
LANGUAGES = HERE / "scripts" / "languages"
NOVNC = HERE / "x2gobroker" / "static" / "novnc" / "VERSION"


class BuildPackage(build_py):
    """Build the package from what is there now: setuptools would add what an earlier build has left in build/lib."""

    def run(self):
        """Compile the portal's languages, copy the modules and data files, and say what is missing."""
        for path in runpy.run_path(str(LANGUAGES))["compile_all"]():
            print(f"x2gobroker: {path.name} compiled")
        self.__dict__.pop("data_files", None)  # the list may have been made before they were there
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / "x2gobroker", ignore_errors=True)
        if not NOVNC.is_file():
            print(
                "x2gobroker: without noVNC, no desktop is shown in browsers: run scripts/novnc before", file=sys.stderr
            )
        super().run()


ENTRY_POINTS = {
    "console_scripts": [
        "x2gobroker = x2gobroker.cli.main:main",
        "x2gobroker-daemon = x2gobroker.cli.daemon.program:main",
        "x2gobroker-authservice = x2gobroker.cli.authservice:main",
        "x2gobroker-loadchecker = x2gobroker.cli.loadchecker:run",
        "x2gobroker-testauth = x2gobroker.cli.testauth:main",
        "x2gobroker-agent = x2gobroker.agents.server:main",
        "x2gobroker-testagent = x2gobroker.cli.testagent:main",
        "x2gobroker-keygen = x2gobroker.cli.keygen:main",
        "x2gobroker-pubkeyauthorizer = x2gobroker.cli.pubkeyauthorizer:main",
        "x2gobroker-ssh = x2gobroker.cli.ssh.broker:main",
        "x2gobroker-remote = x2gobroker.cli.remote.service:main",
    ],
    "x2gobroker.frontends": [
        "plain = x2gobroker.frontends.plain:PlainFrontend",
        "json = x2gobroker.frontends.json:JsonFrontend",
        "uccs = x2gobroker.frontends.uccs:UccsFrontend",
        "pubkeys = x2gobroker.frontends.pubkeys:PubkeysFrontend",
        "portal = x2gobroker.frontends.portal:PortalFrontend",
        "pages = x2gobroker.frontends.pages:PagesFrontend",
    ],
    "x2gobroker.backends": [
        "zeroconf = x2gobroker.backends.zeroconf:ZeroconfBackend",
        "inifile = x2gobroker.backends.inifile:InifileBackend",
    ],
    "x2gobroker.authmechs": [
        "none = x2gobroker.auth.none:NoneMechanism",
        "htpasswd = x2gobroker.auth.htpasswd:HtpasswdMechanism",
        "https_get = x2gobroker.auth.https_get:HttpsGetMechanism",
        "remote_user = x2gobroker.auth.remote_user:RemoteUserMechanism",
        "pam = x2gobroker.auth.pam:PamMechanism",
    ],
    "x2gobroker.nameservices": [
        "libnss = x2gobroker.nameservices.libnss:LibnssNameService",
    ],
    "x2gobroker.scripts": [
        "lowercase = x2gobroker.scripts.lowercase:LowercaseScript",
    ],
    "x2gobroker.agents": [
        "none = x2gobroker.agents.none:NoneAgent",
        "local = x2gobroker.agents.local:LocalAgent",
        "ssh = x2gobroker.agents.ssh:SshAgent",
    ],
}

# what tests/unit and tests/web need; babel finds the texts of the portal, and scripts/languages wants it as well
UNIT = ["babel>=2.10,<3", "pytest>=8", "webtest>=3", "hypothesis>=6", "python-xlib>=0.33,<1"]

setup(
    name="x2gobroker",
    version="1.0.0a1",
    description="X2Go Session Broker: one login, and the session profiles and X2Go Server for it",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="AGPL-3.0-or-later",
    python_requires=">=3.11",
    packages=find_packages(include=["x2gobroker", "x2gobroker.*"]),
    # the name under which scripts of session types import their base class
    py_modules=["nexus_remote_service"],
    # x2gobroker/templates is a link to templates/, so that a checkout and an installation find the same files
    # and so are those in x2gobroker/samples, which `x2gobroker migrate` installs; scripts/novnc puts noVNC there
    package_data={
        "x2gobroker": [
            "py.typed",
            "templates/*.html",
            "templates/*.css",
            "templates/portal/*.html",
            "samples/apache/*",
            "samples/etc/**",
            "samples/wsgi/*",
            "portal/languages/*.mo",
            "remote/schema.json",
            "static/portal/*",
            "static/novnc/**",
        ]
    },
    install_requires=[
        "flask>=3.0,<4",
        "jinja2>=3.1,<4",
        # x2gobroker/cli/daemon/serving.py builds on classes of gunicorn that are not its public API
        "gunicorn>=22,<28",
        "sqlalchemy>=2.0.4,<3",
        "libpass>=1.9,<2",
        "segno>=1.6,<2",
        "bcrypt>=4,<6",
        "argon2-cffi>=21.1,<26",
        "paramiko>=3.5,<6",
        "cryptography>=43",
        "websockets>=15,<18",
        "configupdater>=4.1,<5",
        # x2gobroker/logs/json_form.py overrides one method of its formatter, which 2.0 to 4.2 call alike
        "python-json-logger>=2.0.1,<5",
    ],
    extras_require={
        "postgresql": ["psycopg[binary]>=3.1,<4"],
        "x2go": ["python-xlib>=0.33,<1"],
        "unit": UNIT,
        "test": [
            *UNIT,
            "mypy>=1.10",
            "types-paramiko>=3.5",
            "types-python-xlib>=0.33",
            "ruff>=0.6",
            "requests>=2.31",
            # for an installation without a network; Python 3.12 and later bring no setuptools along
            "setuptools>=66",
            "wheel>=0.40",
            "playwright>=1.60,<2",
            "axe-playwright-python>=0.1.8,<0.2",
        ],
        "docs": ["sphinx>=7", "myst-parser>=3", "markdown-it-py>=2.1", "furo>=2024.1"],
    },
    entry_points=ENTRY_POINTS,
    cmdclass={"build_py": BuildPackage},
    zip_safe=False,
)
