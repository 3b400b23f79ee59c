"""Descriptions word by word: normalised in any script, and what they say of contrast.

A name of the agent ("Gd", "KM", "contraste", "造影") takes its meaning from what is bound to it: a sign written to it
("C-", "+Gd"), else the word before it ("ohne KM", "sans injection"), else the word after it ("造影前", "KM vor"). An
agent that nothing is bound to, or a "post" that no agent follows, is a weak word: elsewhere it means something else.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.identify.vocabulary import BOTH, first_match

# the names of the agent; the letters count where a sign or a word is bound to them, or right after "T1"
_AGENT = (
    r"gad\w*|gd\w*|km|kmgabe|kmittel|[kc]ontra(?:st|szt|sc)\w*|mdc|sdc|civ|ivkm|ivc|inj\w*|iniez\w*|inyec\w*"
    r"|enhanc\w*|enh|tehoste\w*|kl|nk|mk|ce"
    r"|dotarem|prohance|magnevist|multihance|clariscan|omniscan|vueway|elucirem|artirem|dotagraf|primovist"
    r"|контраст\w*|гадолин\w*|гд|ку|кв|σκιαγρ\w*|γαδολιν\w*|造影剂|造影剤|造影劑|造影|增强|増強|增強|強化|强化|조영제|조영|증강|조영증강"
)
#: Characters of a text that are read: descriptions and names hold 64 (PS3.5, LO), and reading takes long where someone
#: writes hundreds of words for contrast.
LONGEST = 1024
_LETTER = "c|k|pc|iv|cm|pdc|к"
_IS_AGENT = re.compile(_AGENT)
_IS_LETTER = re.compile(_LETTER)
_BETWEEN = (
    "i v iv the le la el l de del di da du des der die das dem den d an of au al et produit mezzo medio media medium "
    "agent agente agents dye substance substanta subst administration do dos della dello ve w v inj veinoso "
    "injekce injektion podani podania введения введение введением внутривенного внутривенное в 剂 剤 劑 注射 投与 주입"
)
_FILLERS = frozenset(_BETWEEN.split())
_WITHOUT = (
    "without wo no non not sans ohne o zonder sin sem senza fara bez uten uden ilman minus neg negative nelkul yok "
    "без нет χωρις ανευ 無 无 無し 无し 未 なし 非 不 비 미 무 없음"
)
_BEFORE = "pre vor voor for avant before antes ante prima przed pred prior ennen elott oncesi fore до перед πριν 前 전"
_WITH = "with w mit m met avec con com cu med z plus + со с με 有 あり 加"
_AFTER = "post nach na n apres ap after dopo despues tras apos pos efter etter po jalkeen sonrasi после μετα 後 后 후"
# Swedish "utan kontrast" is without it, Hungarian "kontraszt után" after it
_LEFT = dict.fromkeys(f"{_WITHOUT} {_BEFORE} utan".split(), False) | dict.fromkeys(f"{_WITH} {_AFTER}".split(), True)
_RIGHT = dict.fromkeys(f"{_WITHOUT} {_BEFORE}".split(), False) | dict.fromkeys(
    f"{_AFTER} plus + utan あり".split(), True
)
_RIGHT |= dict.fromkeys(("siz", "suz"), False)
_NATIVE = re.compile(
    r"nat[iy]v\w*|natyw\w*|natif|natief|unenhanced|nonenhanced|noncontr\w*|precontr\w*|blan[ck]o|dirett[ao]|basale|basal|vuoto|plain"
    r"|нативн\w*|бесконтраст\w*|безконтраст\w*|平扫|平掃|单纯|単純"
)
_ALONE = {"pre": False, "vorher": False, "without": False, "post": True, "apos": True, "nachher": True}
# "post op", "pre surgery": before or after something else than the agent
_SOMETHING_ELSE = re.compile(
    r"(?:fos|op|proc|rt\b|radi|ther|surg|chir|bestr|erior|lat|med|sat\b|scan|treat|biop|resec|crani|krani|processed)\w*"
)
_PREFIXED = re.compile(
    r"(pre|post|pos|apos|non|ohne|nach|mit|sin|sem|con|after|before|without|with|sans|apres|bez|без)"
    r"(gd|gad\w+|km|kl|[ck]ontrast\w*|in[jy]\w*|mdc|ce|c|контраст\w*)"
)
_SUFFIXED = re.compile(r"(t1w?|mprage|bravo|vibe|spgr|tfe|c|gd|km|ce|kontrast)(ce|c|gd|km|plus|minus|neg|siz|li)")
_TURKISH = {"siz": "minus", "li": "plus"}
_T1 = re.compile(r"(?:\w*t1w?|mprage|bravo|\w*spgr|vibe|tfe|space|cube|vista|se|tse|fse|3d)")
_EAST = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]+")
_EAST_WORDS = re.compile(
    r"造影|增强|増強|增強|強化|强化|平扫|平掃|单纯|単純|なし|あり|無し|无し|注射|投与|조영|증강|주입|없음|[前後后無无未非有加剂剤劑不전후비미무]"
)
_LETTERS = {ord(one): other for one, other in zip("øłđı−–—‐‑⁻", "oldi------", strict=True)} | {
    ord("ß"): "ss",
    ord("æ"): "ae",
    ord("œ"): "oe",
}
_MINUS_AFTER = re.compile(rf"((?:(?<![^\W_])|(?<=t1)|(?<=t1w))(?:{_AGENT}|{_LETTER}))\s?(?:\(\s?-\s?\)|-(?![^\W_]))")
_MINUS_BEFORE = re.compile(rf"(?<![^\W_])-(?=(?:{_AGENT}|{_LETTER})(?![^\W_]))")
#: "senza" and "con mezzo di contrasto", as Italians shorten them
_SHORTENED = re.compile(r"\b([sc])\W?m\W?d\W?c\b")
_SLASHED = re.compile(rf"\b([sc]) ?/ ?(?=(?:{_AGENT}|{_LETTER})(?![^\W_]))")


def normalise(text: str) -> str:
    """Lower case, no accents, camel case and separators as single spaces, letters of every script.

    ``+`` and ``*`` stay; a minus that belongs to a name of the contrast agent becomes the word "minus". What stands
    behind the first :data:`LONGEST` characters is not read.
    """
    text = text[:LONGEST]
    text = re.sub(r"(?<=[a-z])(?=[A-Z][A-Za-z0-9])|(?<=[0-9])(?=[A-Z][a-z])", " ", text)
    text = unicodedata.normalize("NFKD", text.replace("±", "+-")).lower().translate(_LETTERS)
    text = unicodedata.normalize("NFC", "".join(c for c in text if not unicodedata.combining(c)))
    text = re.sub(r"т(?=[12])", "t", text)  # a Cyrillic T looks the same
    text = re.sub(r"\+ ?/? ?-", " with without ", text)
    text = re.sub(r"\bw ?/ ?o\b", " without ", text)
    text = re.sub(r"\bw ?/", " with ", text)
    text = _SHORTENED.sub(r"\1/mdc", text)
    text = _SLASHED.sub(lambda found: " without " if found[1] == "s" else " with ", text)
    text = _MINUS_AFTER.sub(r"\1 minus ", text)
    text = _MINUS_BEFORE.sub(" minus ", text)
    text = _EAST.sub(r" \g<0> ", text)
    return re.sub(r"(?:[^\w+*]|_)+", " ", text).strip()


@dataclass(frozen=True)
class Wording:
    """What a description says of contrast.

    Attributes
    ----------
    enhanced, native
        The words that say after, and before or without contrast; None where there are none.
    strong
        Whether an agent with its sign or preposition, or a word that means nothing else, says so.
    """

    enhanced: str | None = None
    native: str | None = None
    strong: bool = False


def contrast_wording(text: str, enhanced: Iterable[str] = (), native: Iterable[str] = ()) -> Wording:
    """Read a normalised description.

    Parameters
    ----------
    text
        As :func:`normalise` leaves it.
    enhanced, native
        A site's own patterns; what they find is strong, and is not read again.
    """
    for pattern in BOTH:
        text = re.sub(pattern, " | ", text)
    found: dict[bool, str | None] = {}
    strong = False
    for means, patterns in ((False, tuple(native)), (True, tuple(enhanced))):
        found[means] = first_match(patterns, text)
        for pattern in patterns if found[means] else ():
            text, strong = re.sub(pattern, " | ", text), True
    for means, words, is_strong in _readings(list(_tokens(text))):
        if not found[means] or (is_strong and not strong):
            found[means] = words
        strong |= is_strong
    return Wording(found[True], found[False], strong)


def _tokens(text: str) -> Iterator[str]:
    for word in re.sub(r"\bk l\b", "kl", text.replace("+", " + ")).split():
        east, fused = _EAST.fullmatch(word), _PREFIXED.fullmatch(word) or _SUFFIXED.fullmatch(word)
        if east:
            yield from _EAST_WORDS.findall(word)
        elif fused:
            yield from (_TURKISH.get(part, part) for part in fused.groups())
        else:
            yield word


def _readings(tokens: list[str]) -> Iterator[tuple[bool, str, bool]]:
    """Every statement: whether it means enhanced, its words, whether it is strong."""
    bound: set[int] = set()
    for index, token in enumerate(tokens):
        if _NATIVE.fullmatch(token):
            yield False, token, True
        if index in bound or not (_IS_AGENT.fullmatch(token) or _IS_LETTER.fullmatch(token)):
            continue
        modifier = _modifier(tokens, index)
        if modifier is not None:
            place, means = modifier
            first, last = min(place, index), max(place, index)
            bound |= set(range(first, last + 1))
            yield means, " ".join(tokens[first : last + 1]), True
        elif _IS_AGENT.fullmatch(token) or (token in "ck" and index and _T1.fullmatch(tokens[index - 1])):
            yield True, token, False
    for index, token in enumerate(tokens):
        follower = tokens[index + 1] if index + 1 < len(tokens) else ""
        of_something_else = follower if token == "without" else _SOMETHING_ELSE.match(follower)
        if token in _ALONE and index not in bound and not of_something_else:
            yield _ALONE[token], token, False


def _modifier(tokens: list[str], agent: int) -> tuple[int, bool] | None:
    """Place and meaning of what is bound to the agent at a place: its sign, else what precedes, else what follows."""
    right = agent + 1
    if right < len(tokens) and tokens[right] in ("minus", "+"):
        return right, _RIGHT[tokens[right]]
    left = agent - 1
    while left >= 0 and (tokens[left] in _FILLERS or _IS_AGENT.fullmatch(tokens[left])):
        left -= 1
    if left > 0 and tokens[left] == "o" and tokens[left - 1] in _LEFT:
        left -= 1  # the Portuguese article, not the German "ohne"
    if left >= 0 and tokens[left] in _LEFT:
        return left, _LEFT[tokens[left]]
    while right < len(tokens) and (tokens[right] in _FILLERS or _IS_AGENT.fullmatch(tokens[right])):
        right += 1
    follower = tokens[right + 1] if right + 1 < len(tokens) else ""
    if right < len(tokens) and tokens[right] in _RIGHT and not _SOMETHING_ELSE.match(follower):
        return right, _RIGHT[tokens[right]]
    return None
