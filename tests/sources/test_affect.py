import json

from graphsocial.schemas import text
from graphsocial.sources._affect import keywords


def test_a_keyword_has_one_category_and_every_category_its_share() -> None:
    categories = json.loads(text("datasets", "emotion_keywords.json"))["categories"]
    words = [word for group in categories.values() for word in group]
    assert len(words) == len(set(words)) == len(keywords())
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert all(15 <= len(group) <= 25 for group in categories.values())
    rules = json.loads(text("datasets", "iesn.schema.json"))["properties"]["labels"]["items"]["properties"]
    assert {*categories, "unknown"} == set(rules["emotions"]["items"]["enum"])
