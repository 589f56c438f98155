"""The page at `/`: what its files may do, and a conversation in a real browser."""

import math
import urllib.parse

import httpx2
import pytest

from jaxuq.serving import TokenText
from tests.serving.browser import browser
from tests.serving.scripted import Scripted, serve_scripted

CLIENT = httpx2.Client(timeout=60, trust_env=False)
WORDS = (("Par", 0.99), ("is", 0.95), (" <b>", 0.85), (" f\u00fcr", 0.6), (" 2", 0.4), ("!", 0.1))
CHAIN = [
    {"token": 0, "text": "Par", "step": 2, "source": 3, "weight": 0.4, "similarity": 0.2, "kept": True,
     "probability": 0.99},
    {"token": 3, "text": " f\u00fcr", "step": 1, "source": 5, "weight": 0.9, "similarity": 0.8, "kept": True,
     "probability": 0.6},
    {"token": 1, "text": "is", "step": 2, "source": 3, "weight": 0.1, "similarity": -0.4, "kept": False,
     "probability": 0.95},
]  # fmt: skip
SAID = {
    "answer": "2", "confidence": 0.83, "interval": [0.78, 0.87], "measure": "uqac_similarity", "labelled_answers": 400,
    "measures": {"answer_probability": 0.4}, "chain": CHAIN,
}  # fmt: skip


class Talking(Scripted):
    """Says words of known probabilities and how sure it is; a character is divided among two tokens."""

    def __init__(self, sure=True):
        super().__init__(words=[word for word, _ in WORDS])
        self.kinds = ("text",) if sure else ()
        self.names = (self.name, "ben")

    def word(self, ticket):
        for same, growth, last in super().word(ticket):
            word, probability = WORDS[min(growth.count, len(WORDS)) - 1]
            raw, value = word.encode(), math.log(probability)
            others = (TokenText(word, raw, value), TokenText(" no", b" no", math.log(1 - probability)))
            half = raw.find(b"\xc3") + 1
            tokens = [TokenText(word, raw, value, others)]
            if half:
                tokens = [TokenText("\ufffd", raw[:half], value, others), TokenText("\ufffd", raw[half:], -0.01)]
            verdict = SAID if last and self.kinds else None
            yield same, growth._replace(tokens=tuple(tokens), verdict=verdict), last


def test_its_files_ask_no_other_host_and_run_nothing_inline():
    with serve_scripted() as url:
        root = url.removesuffix("/v1")
        page = CLIENT.get(f"{root}/")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        texts = [page.text, CLIENT.get(f"{root}/page.js").text, CLIENT.get(f"{root}/page.css").text]
        assert not any("://" in text.replace("http://www.w3.org/2000/svg", "") for text in texts)
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "onclick"):
            assert not any(word in text for text in texts), word
        assert CLIENT.get(f"{root}/", headers={"Host": "evil.example"}).status_code == 403
        assert CLIENT.post(f"{root}/").status_code == 415 and CLIENT.get(f"{root}/page/index.html").status_code == 404


def test_it_is_opened_without_the_key_and_from_a_link_but_shows_nothing_of_the_server():
    with serve_scripted(key="secret") as url:
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
        assert CLIENT.get(url.removesuffix("v1"), headers=headers).status_code == 200
        assert CLIENT.get(f"{url}/models").status_code == 401


@pytest.mark.long
def test_a_conversation(tmp_path):
    with serve_scripted(Talking()) as url, browser(tmp_path / "profile") as page:
        page.open(url.removesuffix("v1"))
        page.until("document.querySelectorAll('#model option').length === 2")
        page.run("document.getElementById('text').value = 'What is <i>1 + 1</i>?'")
        page.run("document.getElementById('send').click()")
        page.until("document.querySelector('button.chain') !== null")
        told = page.run("[...document.querySelectorAll('.token')].map((one) => [one.textContent, one.className])")
        assert "".join(text for text, _ in told) == "Paris <b> f\u00fcr 2!"  # as text, never as markup
        classes = {text.strip(): kind.split()[-1] for text, kind in told if text.strip()}
        assert (classes["Par"], classes["<b>"], classes["2"], classes["!"]) == ("token", "p4", "p2", "p1")
        assert page.run("document.querySelector('.mine').innerText") == "What is <i>1 + 1</i>?"
        assert page.run("document.querySelectorAll('#chat b, #chat i').length") == page.run(
            "document.querySelectorAll('.said b').length"
        )
        said = page.run("document.querySelector('.answer').innerText")
        assert "Right with probability 0.83" in said and "0.78 to 0.87" in said and "Answer: 2" in said
        page.run("[...document.querySelectorAll('.token')].find((one) => one.textContent === ' 2').click()")
        assert page.run("[...document.querySelectorAll('.others td')].map((one) => one.textContent)") == [
            "\u00a02", "0.400", "\u00a0no", "0.600"
        ]  # fmt: skip
        assert page.run("document.querySelectorAll('svg.arcs path').length") == 2
        assert page.run("document.querySelectorAll('.token.link').length") == 3
        page.picture(tmp_path / "wide.png")
        page.resize(390, 844)
        assert page.run("document.documentElement.scrollWidth") <= 390
        page.picture(tmp_path / "narrow.png")
        page.run("document.querySelector('button.chain').click()")
        assert page.run("document.querySelectorAll('svg.arcs path, .token.link').length") == 0
        page.run("document.getElementById('new').click()")
        assert page.run("document.getElementById('chat').children.length") == 0
        hosts = {urllib.parse.urlsplit(one).netloc for one in page.asked if one.startswith("http")}
        assert hosts == {urllib.parse.urlsplit(url).netloc}


@pytest.mark.long
def test_a_key_is_asked_for_and_an_ensemble_answers_without_confidence(tmp_path):
    with serve_scripted(Talking(sure=False), key="secret") as url, browser(tmp_path / "profile") as page:
        page.open(url.removesuffix("v1"), 390, 844)
        page.until("!document.getElementById('key-field').hidden")
        assert "key is missing" in page.run("document.getElementById('chat').innerText")
        page.run("document.getElementById('key').value = 'secret'")
        page.run("document.getElementById('key').dispatchEvent(new Event('change'))")
        page.until("document.querySelectorAll('#model option').length === 2")
        page.run("document.getElementById('text').value = 'Hi'")
        page.run("document.getElementById('form').requestSubmit()")
        page.until("document.querySelectorAll('.token').length > 6")
        page.until("document.getElementById('send').textContent === 'Send'")
        assert "Paris" in page.run("document.querySelector('.words').textContent")
        assert page.run("document.querySelectorAll('.error, button.chain').length") == 0
        assert "secret" not in page.run("document.documentElement.outerHTML")
        assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
