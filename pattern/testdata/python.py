"""Writes python.json: what re.search of Python 3.11 says of random patterns.

    python3 python.py > python.json
"""
import json
import random
import re
import warnings

warnings.simplefilter("ignore")
random.seed(7)
ATOMS = r"""a b K é . \d \w \s \W \b \. [a-c] [^a] [\w-] []a] [[:a] (a|b) (?:ab) (?P<n>a) (?P=n) \1 (?=a) (?!b) (?<=a)
(?<!a) (?i:a) (?-i:a) \x41 \u0041 \101 \0 \Z \A ^ $ | \n - (?#c) (a)(?(1)b|c) (?>a+) { } \pL \Q [a\]] \_ _ # [é-ü]
[^\W] (?x:a#) (?s:.) \/ [\d-z] \e \x4 (?a) (?i)""".split()
QUANTIFIERS = ["", "", "", "", "", "*", "+", "?", "{2}", "{,2}", "{1,}", "{,}", "*?", "+?", "{x}", "{2,1}", "**"]
SUBJECTS = ["", "a", "ab", "A", "a.b", "foo\n", "a\nb", "éa", "É", "k\u212a", "1٣", "a b\t", "-a", "{", "a{2}", "bab", "\x1c", "ü", "\0"]
FLAGS = [0, re.I, re.M, re.S, re.I | re.S]


def case():
    text = "".join(random.choice(ATOMS) + random.choice(QUANTIFIERS) for _ in range(random.randint(1, 4)))
    bytes_, flags = random.random() < 0.5, random.choice(FLAGS)
    of = str.encode if bytes_ else str
    try:
        compiled = re.compile(of(text), flags)
    except (re.error, OverflowError):
        return {"pattern": text, "bytes": bytes_, "flags": int(flags)}
    found = "".join("01"[bool(compiled.search(of(s)))] for s in SUBJECTS)
    return {"pattern": text, "bytes": bytes_, "flags": int(flags), "found": found}


lines = ",\n".join(json.dumps(case(), ensure_ascii=False) for _ in range(1000))
print('{"subjects": ' + json.dumps(SUBJECTS) + ',\n"cases": [\n' + lines + "\n]}")
