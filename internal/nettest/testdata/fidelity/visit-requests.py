# Visits an origin with requests: visit-requests.py SCHEME HOST CA
import hashlib, sys, requests

scheme, host, ca = sys.argv[1:]


def session():
    s = requests.Session()
    s.trust_env, s.verify = False, ca
    return s


def exchange(s, scenario, answer, method="GET", **more):
    try:
        r = s.request(method, f"{scheme}://{host}/{scenario}/{answer}", timeout=60, **more)
        print(scenario, r.status_code, repr(r.reason), r.url, list(r.raw.headers.items()), len(r.content),
              hashlib.sha256(r.content).hexdigest()[:8])
    except Exception as e:
        cause = e
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__
        print(scenario, type(e).__name__, type(cause).__name__, cause)


def once(*args, **more):
    with session() as s:
        exchange(s, *args, **more)


for answer in "get", "chunked", "trailers", "gzip", "large", "redirect", "none", "unmodified", "hints", "error":
    once(answer, answer)
for answer in "close", "until-close", "until-cut", "finish", "cut", "reset", "hang-up", "vanish":
    once(answer, answer)
once("head", "get", "HEAD")
once("post", "post", "POST", data={"a": "1", "b": "2"})
once("chunked-post", "post", "POST", data=iter([b"abc", b"defg", b"h" * 100000]), headers={"x-oDD": "1", "Accept": None})
once("large-post", "post", "PUT", data=b"0123456789abcdef" * 65536)
with session() as s:
    for answer in "cookie", "get", "chunked", "gzip", "none", "close", "get":
        exchange(s, "sequential", answer)
with session() as s:
    with s.get(f"{scheme}://{host}/stall/stall", stream=True, timeout=60) as r:
        print("stall", r.status_code)
with session() as s:
    with s.get(f"{scheme}://{host}/flood/flood", stream=True, timeout=60) as r:
        print("flood", r.status_code)
