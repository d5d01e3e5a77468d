"""Serves a model: messages are spam or not, by a naive Bayes classifier that is trained when an instance starts.

An ASGI app without any framework. Training is part of the app's lifespan, so no request ever waits for it, and one event
loop serves many requests at once.
"""
import json
import math
import re
from collections import Counter

model = None


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["method"] != "POST":
        await answer(send, 405, {"error": "POST the text of a message"})
        return
    text = (await body_of(receive)).decode("utf-8", "replace")
    await answer(send, 200, model.judge(text))


async def lifespan(receive, send):
    global model
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            with open("messages.tsv", encoding="utf-8") as file:
                model = Model(line.rstrip("\n").split("\t", 1) for line in file)
            print(f"trained on {model.size} messages")
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def body_of(receive):
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def answer(send, status, value):
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


class Model:
    def __init__(self, examples):
        self._words = {"spam": Counter(), "ham": Counter()}
        self._messages = Counter()
        for label, text in examples:
            self._messages[label] += 1
            self._words[label].update(words_of(text))
        self._vocabulary = len(set(self._words["spam"]) | set(self._words["ham"]))

    @property
    def size(self):
        return sum(self._messages.values())

    def judge(self, text):
        words = words_of(text)
        log = {label: math.log(self._messages[label] / self.size) for label in self._words}
        for label, counts in self._words.items():
            total = sum(counts.values()) + self._vocabulary
            # One more than was seen, so that a new word does not decide alone.
            log[label] += sum(math.log((counts[word] + 1) / total) for word in words)
        spam = 1 / (1 + math.exp(min(700, log["ham"] - log["spam"])))
        telling = sorted(set(words), key=lambda word: self._weight(word), reverse=True)[:3]
        return {"spam": round(spam, 4), "words": [word for word in telling if self._weight(word) > 1]}

    def _weight(self, word):
        return (self._words["spam"][word] + 1) / (self._words["ham"][word] + 1)


def words_of(text):
    return re.findall(r"[a-z£$]+|\d+", text.lower())
