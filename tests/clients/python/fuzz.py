"""Sends random but valid HTTP/1.1 requests to the gateway, to find one that it signs otherwise than it sends it.

    fuzz.py [COUNT] [--seed SEED]

The simulator verifies every signature, so a path, query or header that the gateway canonicalises wrongly comes back as
InvalidSignatureException. The gateway may refuse a request as malformed, if it says so itself and says so again; and a model whose name
has a slash, which no id has, because nobody knows what it stands for.

No dot segments: which path those mean is for another test.
"""

import argparse
import http.client
import os
import random
import ssl
import string
import sys
import urllib.parse

from checks import ACME_MODEL, note, one_line, version

# {} stands for a random label. No streaming operations: their answers are not what is tested here.
TARGETS = (
    ("POST", "/model/{}/converse"),
    ("POST", "/model/{}/invoke"),
    ("POST", "/model/{}/count-tokens"),
    ("GET", "/foundation-models"),
    ("GET", "/foundation-models/{}"),
    ("GET", "/custom-models"),
    ("GET", "/guardrails/{}"),
    ("PUT", "/guardrails/{}"),
    ("DELETE", "/guardrails/{}"),
    ("GET", "/inference-profiles/{}"),
    ("GET", "/agents/{}/"),
    ("GET", "/agents/{}/agentversions/{}/"),
    ("POST", "/knowledgebases/{}/retrieve"),
    ("GET", "/tags/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aagent%2F{}"),
    ("DELETE", "/tags/arn:aws:bedrock:us-east-1:123456789012:agent%2F{}"),
    ("DELETE", "/tags/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2F{}"),
    ("GET", "/memories/{}/details"),
)

# Unreserved and sub-delimiters, and the printable rest that RFC 3986 keeps out of paths and clients send all the same.
IN_PATH = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@"
# Not `<`, `>` and the backtick, which the HTTP parser itself refuses before there is a gateway that could say so; nor the
# backslash, which the gateway always refuses.
UNWISE = "\"[]^{|}"
IN_QUERY = IN_PATH.replace("&", "").replace("=", "").replace("+", "") + "/?"
CONTENT_TYPES = ("application/json", "application/octet-stream", "text/plain; a=b")
HEADERS = ("x-amz-foo", "X-Amz-Bar", "x-amzn-bedrock-foo", "X-Custom", "x-amz-meta-a.b", "Accept")
HEADER_TEXT = string.ascii_letters + string.digits + string.punctuation


class Fuzz:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def request(self):
        pick = self.random
        method, template = pick.choice(TARGETS)
        path = template
        while "{}" in path:
            path = path.replace("{}", self.label(), 1)
        query = self.query() if pick.random() < 0.6 else ""
        headers = self.headers()
        body = self.body() if method in ("POST", "PUT") else None
        if body is not None:
            # One body in ten comes in chunks, of a size that does not divide it.
            framing = ("Transfer-Encoding", "chunked") if pick.random() < 0.1 else ("Content-Length", str(len(body)))
            headers.append(framing)
        return method, path + query, headers, body

    def label(self):
        pick = self.random
        if pick.random() < 0.2:
            return urllib.parse.quote(ACME_MODEL, safe=pick.choice(("", ":")))
        while True:
            made = "".join(self.path_character() for _ in range(pick.randint(1, 24)))
            if urllib.parse.unquote_to_bytes(made) not in (b".", b".."):
                return made

    def path_character(self):
        pick, kind = self.random, self.random.random()
        if kind < 0.70:
            return pick.choice(IN_PATH)
        if kind < 0.74:
            return pick.choice(UNWISE)
        return self.escape()

    def escape(self):
        pick = self.random
        # Mostly what a client escapes; any byte now and then, which a gateway that reads text may refuse.
        made = f"%{pick.randint(1, 255) if pick.random() < 0.1 else pick.randint(32, 126):02X}"
        return made.lower() if pick.random() < 0.3 else made

    def query(self):
        pick = self.random
        keys = [self.query_text(1, 6) for _ in range(pick.randint(1, 3))] + ["tagKeys", "maxResults", "X-Amz-Nothing"]
        pairs = []
        for _ in range(pick.randint(0, 6)):
            key = pick.choice(keys)
            kind = pick.random()
            if kind < 0.15:
                pairs.append(key)
            elif kind < 0.30:
                pairs.append(key + "=")
            else:
                pairs.append(key + "=" + self.query_text(0, 12) + pick.choice(("", "", "", "=", "=x")))
        if pick.random() < 0.05:
            pairs.insert(pick.randint(0, len(pairs)), "")
        return "?" + "&".join(pairs)

    def query_text(self, least, most):
        pick = self.random
        made = ""
        for _ in range(pick.randint(least, most)):
            kind = pick.random()
            if kind < 0.70:
                made += pick.choice(IN_QUERY)
            elif kind < 0.76:
                made += "+"
            elif kind < 0.82:
                made += "%20"
            else:
                made += self.escape()
        return made

    def headers(self):
        pick = self.random
        made = []
        if pick.random() < 0.8:
            made.append(("Content-Type", pick.choice(CONTENT_TYPES)))
        for _ in range(pick.randint(0, 5)):
            made.append((pick.choice(HEADERS), self.header_value()))
        return made

    def header_value(self):
        pick, kind = self.random, self.random.random()
        if kind < 0.1:
            return b""
        if kind < 0.2:
            return "".join(pick.choice(HEADER_TEXT) for _ in range(pick.randint(1000, 4000))).encode()
        if kind < 0.4:
            return bytes(pick.choice((pick.randint(0xA0, 0xFF), 0x61)) for _ in range(pick.randint(1, 20)))
        words = ["".join(pick.choices(HEADER_TEXT, k=pick.randint(1, 8))) for _ in range(pick.randint(1, 5))]
        return pick.choice((" ", "  ", "   ", "\t", " \t ")).join(words).encode()

    def body(self):
        pick, kind = self.random, self.random.random()
        if kind < 0.5:
            return b'{"max_tokens":16,"messages":[{"role":"user","content":[{"text":"Say hello."}]}]}'
        if kind < 0.6:
            return b""
        return pick.randbytes(pick.choice((1, 17, 300, 5_000, 100_000)))


class Gateway:
    """One connection, opened anew when the other side has closed it."""

    def __init__(self, url, bundle, token):
        self.address = urllib.parse.urlsplit(url)
        self.trust = ssl.create_default_context(cafile=bundle)
        self.token = token
        self.open()

    def open(self):
        self.connection = http.client.HTTPSConnection(
            self.address.hostname, self.address.port, timeout=30, context=self.trust
        )

    def send(self, method, target, headers, body):
        """Status, headers and the beginning of the body."""
        for last in (False, True):
            try:
                return self.try_once(method, target, headers, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection.close()
                self.open()
                if last:
                    raise

    def try_once(self, method, target, headers, body):
        connection = self.connection
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("Authorization", f"Bearer {self.token}")
        for name, value in headers:
            connection.putheader(name, value)
        if ("Transfer-Encoding", "chunked") in headers:
            pieces = (body[start : start + 777] for start in range(0, len(body), 777))
            connection.endheaders(pieces, encode_chunked=True)
        else:
            connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            connection.close()
        return answer.status, answer.headers, content[:500]


def judge(gateway, request):
    """None if the request was treated as it should be, else what was wrong. With it: who answered."""
    status, headers, content = gateway.send(*request)
    seen = f"{status} {headers.get('x-tollgate-source', '-')} {one_line(content.decode('utf-8', 'replace'))}"
    if status == 403 and b"nothing in the name says what it stands for" in content and "%2f" in request[1].lower():
        return None, "gateway"
    if status == 403 or b"InvalidSignature" in content:
        return f"refused: {seen}", None
    if headers.get("x-simulator-service"):
        # Its signature was right; what the simulator thinks of a random body is its own affair.
        return (None, "simulator") if status < 500 else (f"an error: {seen}", None)
    if status == 400 and headers.get("x-tollgate-source") == "gateway":
        again = gateway.send(*request)
        if (again[0], again[1].get("x-tollgate-source")) == (400, "gateway"):
            return None, "gateway"
        return f"refused once ({seen}), then {again[0]}", None
    return f"neither answered by the simulator nor refused by the gateway: {seen}", None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("count", nargs="?", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = arguments.parse_args()
    version(f"seed {options.seed}")
    fuzz = Fuzz(options.seed)
    gateway = Gateway(os.environ["TOLLGATE_URL"], os.environ["AWS_CA_BUNDLE"], os.environ["TOLLGATE_TOKEN_ACME"])
    answered = {"simulator": 0, "gateway": 0}
    failed = 0
    for number in range(options.count):
        request = fuzz.request()
        try:
            wrong, by = judge(gateway, request)
        except (OSError, http.client.HTTPException) as error:
            wrong, by = f"{type(error).__name__}: {error}", None
            gateway.connection.close()
            gateway.open()
        if wrong is None:
            answered[by] += 1
            print(f"ok {number}")
        else:
            failed += 1
            method, target, headers, body = request
            print(f"failed {number}: {wrong}; {method} {target} {headers} body {(body or b'')[:40]!r}"[:2000])
        if failed == 50:
            note("stopped after 50 failures")
            break
    if answered["simulator"] < options.count // 2 and not failed:
        failed += 1
        print(f"failed arrivals: only {answered['simulator']} of {options.count} requests reached the simulator")
    note(f"{answered['simulator']} reached the simulator, {answered['gateway']} were refused as malformed, or as naming nothing known")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
