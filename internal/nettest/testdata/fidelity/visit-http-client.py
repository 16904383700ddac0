# Visits an origin with http.client: visit-http-client.py SCHEME HOST CA
import hashlib, http.client, socket, ssl, struct, sys

scheme, host, ca = sys.argv[1:]
http.client._MAXLINE = 65536


def connect():
    if scheme == "https":
        return http.client.HTTPSConnection(host, timeout=60, context=ssl.create_default_context(cafile=ca))
    return http.client.HTTPConnection(host, timeout=60)


def digest(body):
    return len(body), hashlib.sha256(body).hexdigest()[:8]


def exchange(c, scenario, answer, method="GET", **more):
    try:
        c.request(method, f"/{scenario}/{answer}", **more)
        r = c.getresponse()
        print(scenario, r.version, r.status, repr(r.reason), r.getheaders())
        print(scenario, "body", *digest(r.read()))
    except Exception as e:
        print(scenario, type(e).__name__, e, *digest(getattr(e, "partial", b"")))


def once(scenario, answer, *args, **more):
    c = connect()
    exchange(c, scenario, answer, *args, **more)
    c.close()


once("get", "get")
once("head", "get", "HEAD")
once("post", "post", "POST", body=b"a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"})
once("chunked-post", "post", "POST", body=iter([b"abc", b"defg", b"h" * 100000]), encode_chunked=True,
     headers={"Transfer-Encoding": "chunked"})
once("large-post", "post", "PUT", body=b"0123456789abcdef" * 65536)
once("large", "large")
for answer in "chunked", "trailers", "gzip", "none", "unmodified", "hints", "error":
    once(answer, answer)
for answer in "close", "until-close", "until-cut", "finish", "cut", "reset", "hang-up", "vanish":
    once(answer, answer)

c = connect()
for answer in "get", "chunked", "none", "get", "unmodified", "get":
    exchange(c, "sequential", answer)
c.close()

c = connect()
for answer in "close", "get":  # it reconnects by itself
    exchange(c, "reconnect", answer)
c.close()

c = connect()
c.putrequest("oDD", "/odd/get?%7e", skip_host=True, skip_accept_encoding=True)
for name, value in ("x-oDD", "1"), ("X-odd", "2"), ("HOST", "Shop.Example"), ("X-Empty", ""), ("X-Latin", "\xe9"), ("x-tab", "a\tb"):
    c.putheader(name, value)
c.endheaders()
r = c.getresponse()
print("odd", r.status, r.getheaders(), *digest(r.read()))
c.close()


def leave(scenario, answer, how):
    c = connect()
    c.putrequest("POST", f"/{scenario}/{answer}")
    c.putheader("Content-Length", "1000")
    c.endheaders()
    if answer == "early":
        c.send(b"0123456789")
    else:
        c.send(b"0" * 1000)
    sock = c.sock
    r = c.getresponse()
    print(scenario, r.status, r.getheaders())
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    r.close()
    c.close()


for answer in "early", "stall", "flood":
    for how in "fin", "rst":
        leave(f"{answer}-{how}", answer, how)
