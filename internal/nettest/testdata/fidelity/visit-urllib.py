# Visits an origin with urllib.request: visit-urllib.py SCHEME HOST CA
import hashlib, http.cookiejar, ssl, sys, urllib.error, urllib.request

scheme, host, ca = sys.argv[1:]


def opener():
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())]
    if scheme == "https":
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
    return urllib.request.build_opener(*handlers)


def exchange(o, scenario, answer, method="GET", data=None, headers={}):
    req = urllib.request.Request(f"{scheme}://{host}/{scenario}/{answer}", data=data, headers=headers, method=method)
    try:
        r = o.open(req, timeout=60)
    except urllib.error.HTTPError as e:
        r = e
    except Exception as e:
        print(scenario, type(e).__name__, e)
        return
    try:
        body = r.read()
        print(scenario, r.status, r.reason, r.geturl(), r.getheaders(), len(body), hashlib.sha256(body).hexdigest()[:8])
    except Exception as e:
        print(scenario, r.status, type(e).__name__, e)


for answer in "get", "chunked", "trailers", "gzip", "large", "redirect", "none", "unmodified", "hints", "error":
    exchange(opener(), answer, answer)
for answer in "close", "until-close", "until-cut", "finish", "cut", "reset", "hang-up", "vanish":
    exchange(opener(), answer, answer)
exchange(opener(), "head", "get", "HEAD")
exchange(opener(), "post", "post", "POST", b"a=1&b=2")
exchange(opener(), "chunked-post", "post", "POST", iter([b"abc", b"defg"]), {"x-oDD": "1"})
o = opener()
exchange(o, "cookie", "cookie")
exchange(o, "cookie", "get")
