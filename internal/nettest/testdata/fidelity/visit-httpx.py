# Visits an origin with httpx: visit-httpx.py SCHEME HOST CA 1|2
import asyncio, hashlib, sys, httpx

scheme, host, ca, version = sys.argv[1:]
url = f"{scheme}://{host}"


def client():
    return httpx.AsyncClient(http2=version == "2", verify=ca, trust_env=False, timeout=60)


async def exchange(c, scenario, answer, method="GET", **more):
    try:
        r = await c.request(method, f"{url}/{scenario}/{answer}", **more)
        print(scenario, r.http_version, r.status_code, repr(r.reason_phrase), r.url, r.headers.raw, len(r.content),
              hashlib.sha256(r.content).hexdigest()[:8])
    except Exception as e:
        print(scenario, type(e).__name__, e)


async def once(*args, **more):
    async with client() as c:
        await exchange(c, *args, **more)


async def parts():
    for part in b"abc", b"defg", b"h" * 100000:
        yield part


async def leave(scenario):
    async with client() as c:
        async with c.stream("GET", f"{url}/{scenario}/{scenario}") as r:
            print(scenario, r.status_code)


async def main():
    for answer in "get", "chunked", "trailers", "gzip", "large", "none", "unmodified", "hints", "error":
        await once(answer, answer)
    for answer in "close", "until-close", "until-cut", "finish", "cut", "reset", "hang-up", "vanish":
        if version == "1":
            await once(answer, answer)
    if version == "2":
        for answer in "reset", "vanish", "finish", "refused", "abandon":
            await once(answer, answer)
    await once("redirect", "redirect", follow_redirects=True)
    await once("head", "get", "HEAD")
    await once("post", "post", "POST", data={"a": "1", "b": "2"})
    await once("chunked-post", "post", "POST", content=parts(), headers=[("x-oDD", "1"), ("X-odd", "2")])
    await once("large-post", "post", "PUT", content=b"0123456789abcdef" * 65536)
    async with client() as c:
        for answer in "cookie", "get", "chunked", "gzip", "none", "get" if version == "2" else "close", "get":
            await exchange(c, "sequential", answer)
    async with client() as c:
        await asyncio.gather(*(exchange(c, "parallel", "meet") for _ in range(4)))
    await leave("stall")
    if version == "1":
        await leave("flood")


asyncio.run(main())
