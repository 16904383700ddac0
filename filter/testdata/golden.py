"""Writes golden.json: how mitmproxy 8.1.1, Debian's package, reads random filter
expressions, and which of them match which of the flows in flows.json.

    python3 golden.py > golden.json
"""
import ipaddress
import json
import os
import random

from mitmproxy import connection, dns, flow, flowfilter, http, tcp, version, websocket
from wsproto.frame_protocol import Opcode

random.seed(7)
here = os.path.dirname(os.path.abspath(__file__))

# How expressions are written by filter.Filter.String.
SPECIAL = "()~'\" \t\r\n\f"


def argument(text):
    if text and not any(c in SPECIAL for c in text):
        return text
    for a, b in (("\\", "\\\\"), ('"', '\\"'), ("\t", "\\t"), ("\n", "\\n"), ("\f", "\\f"), ("\r", "\\r")):
        text = text.replace(a, b)
    return f'"{text}"'


def written(x, outer=""):
    if isinstance(x, flowfilter.FNot):
        return "!" + written(x.itm, "!")
    if isinstance(x, (flowfilter.FAnd, flowfilter.FOr)):
        join = "&" if isinstance(x, flowfilter.FAnd) else "|"
        text = f" {join} ".join(written(i, join) for i in x.lst)
        if outer and not (outer == "|" and join == "&"):
            name = text.rsplit("~", 1)[-1]
            text = f"({text} )" if name.isalpha() else f"({text})"
        return text
    if isinstance(x, flowfilter._Rex):
        return f"~{x.code} {argument(x.expr)}"
    if isinstance(x, flowfilter._Int):
        return f"~{x.code} {x.num}"
    return "~" + x.code


def conn(f):
    c = connection.Client(tuple(f["client"]), ("10.0.0.1", 8080), 1)
    s = connection.Server(tuple(f["dst"]))
    return c, s


def headers(h):
    return http.Headers([(k.encode(), v.encode("latin1")) for k, v in h])


def made(f):
    c, s = conn(f)
    err = flow.Error(f["error"]) if "error" in f else None
    if f["type"] == "tcp":
        x = tcp.TCPFlow(c, s)
        x.messages = [tcp.TCPMessage(up, text.encode("latin1")) for up, text in f["messages"]]
        x.error = err
        return x
    if f["type"] == "dns":
        x = dns.DNSFlow(c, s)
        x.error = err
        q = [dns.Question(f["question"], 1, 1)]
        x.request = dns.Message(0, 1, True, 0, False, False, True, False, 0, 0, q, [], [], [])
        if "answers" in f:
            a = [dns.ResourceRecord.A(f["question"], ipaddress.IPv4Address(ip)) for ip in f["answers"]]
            x.response = dns.Message(0, 1, False, 0, False, False, True, True, 0, 0, q, a, [], [])
        return x
    x = http.HTTPFlow(c, s)
    x.error = err
    x.request = http.Request(
        f["dst"][0], f["dst"][1], f["method"].encode(), f["scheme"].encode(), f.get("authority", "").encode(), f["path"].encode(),
        f.get("version", "HTTP/1.1").encode(), headers(f["headers"]), bytes.fromhex(f.get("body", "")), None, 1, 2,
    )
    if "status" in f:
        x.response = http.Response(b"HTTP/1.1", f["status"], b"", headers(f["response_headers"]), bytes.fromhex(f.get("response_body", "")), None, 1, 2)
    if "messages" in f:
        x.websocket = websocket.WebSocketData()
        x.websocket.messages = [websocket.WebSocketMessage(Opcode.TEXT, up, text.encode("latin1")) for up, text in f["messages"]]
    return x


FLOWS = [made(f) for f in json.load(open(os.path.join(here, "flows.json")))]
NAMES = "a all dns e http marked q replay replayq replays s tcp websocket".split()
SEARCHES = "b bq bs comment d dst h hq hs m marker meta src t tq ts u".split()
WORDS = r"""a . .* ^GET$ example example\.com$ ^203 :443$ hello ^hello h.llo ERROR json ^text/ image ^Host: ^host: content-type: value$ value\r?$
^.....$ ü \xfc [^\x00-\x7f] \w+ö /api/ ^https://example\.com/ ^$ 8\.8 post ^x-a \s$ ping a|b 404 ^http://203\.0\.113\.7:8080/ :53 (?!x) &  | ! "\\." "a b" 'x' "" "^(?!GET)" "(?:a|e)" "hello\\Z" "[\\d]+$" '\w' "ok" """.split(" ")
WORDS = [w.strip() for w in WORDS if w.strip()]
GLUE = [" ", " ", " ", " & ", " | ", "&", "|", " &", "| ", " &!", " | !", ""]


def atom():
    r = random.random()
    if r < 0.3:
        return "~" + random.choice(NAMES)
    if r < 0.7:
        return "~" + random.choice(SEARCHES) + random.choice([" ", " ", " ", "", "  "]) + random.choice(WORDS)
    if r < 0.8:
        return "~c" + random.choice([" ", " ", ""]) + random.choice(["200", "404", "101", "4xx", "0200", ""])
    if r < 0.9:
        return random.choice(WORDS)
    return random.choice(["(", "!(", "! (", "!"]) + " ".join([expression(2)]) + random.choice([")", " )", " )", ""])


def expression(most):
    text = atom()
    for _ in range(random.randint(0, most)):
        text += random.choice(GLUE) + atom()
    return text


def case(text):
    try:
        x = flowfilter.parse(text)
    except ValueError:
        return {"text": text}
    return {"text": text, "is": written(x), "matches": "".join("01"[bool(x(f))] for f in FLOWS)}


texts = [f"~{n} {w}" for n in SEARCHES for w in WORDS] + ["~" + n for n in NAMES] + [f"~c {n}" for n in (101, 200, 404, 500)]
texts += ["!" + t for t in texts[::7]] + [expression(3) for _ in range(2000)]
lines = ",\n".join(json.dumps(case(t), ensure_ascii=False) for t in dict.fromkeys(texts))
print('{"version": "' + version.VERSION + '", "cases": [\n' + lines + "\n]}")
