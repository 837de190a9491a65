"""What sslyze says of the gateway's TLS, held against Mozilla's recommendations: both policies that a listener can have."""

import os
import re
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from urllib.parse import urlsplit

from checks import check, finish, true, version

SCAN_SECONDS_MAX, RELOAD_SECONDS_MAX = 120, 30
URL = urlsplit(os.environ["TOLLGATE_URL"])


def complies_with(policy):
    sslyze = Path(sys.executable).with_name("sslyze")
    command = [sslyze, f"--mozilla_config={policy}", "--certinfo_ca_file", os.environ["AWS_CA_BUNDLE"], URL.netloc]
    scan = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_SECONDS_MAX)
    true(scan.returncode == 0 and ": OK - Compliant." in scan.stdout, scan.stdout[scan.stdout.find("COMPLIANCE") :] or scan.stderr)


def speaks_tls_12():
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection((URL.hostname, URL.port), 10) as plain:
            context.wrap_socket(plain, server_hostname=URL.hostname).close()
        return True
    except ssl.SSLError:
        return False


@contextmanager
def policy(name):
    """The demo's configuration is edited for a while; it reloads by itself."""
    file = Path(os.environ["TOLLGATE_CONFIG"])
    before = file.read_text()
    edited = re.sub(r'private_key_file = "private-key.pem"', rf'\g<0>, policy = "{name}"', before)
    true(edited != before, "the demo's listener is written in another way")
    file.write_text(edited)
    try:
        until = time.monotonic() + RELOAD_SECONDS_MAX
        while speaks_tls_12():
            true(time.monotonic() < until, "the gateway did not reload")
            time.sleep(0.1)
        yield
    finally:
        file.write_text(before)


version(version_of("sslyze"))
with check("intermediate"):
    complies_with("intermediate")
with check("modern"), policy("modern"):
    complies_with("modern")
finish()
