"""Answers in which a model declines, or asks back, instead of answering."""

from __future__ import annotations

import regex

_CANNOT = (
    r"(?:can\s?not|can['’]?t|am\s+(?:un|not\s+)able\s+to|['’]m\s+(?:un|not\s+)able\s+to|won['’]t\s+be\s+able\s+to"
    r"|must\s+decline|do\s+not\s+have\s+(?:access|the\s+ability)|don['’]t\s+have\s+(?:access|the\s+ability))"
)
_SERVE = (
    r"(?:assist|help\s+(?:you|with)|provide|fulfil|complete|comply|access|open|view|see\s+(?:the|any|your)|create|generate"
    r"|write|answer|process|perform|display|browse|engage|support|offer|discuss|respond|give\s+(?:you|any|advice|medical)"
    r"|produce|accommodate|do\s+(?:that|this)|translate|determine|identify|summari[sz]e|classify)"
)
_SPEAKS_AS_MODEL = regex.compile(
    r"^\W*(?:(?:i['’]?m\s+)?(?:so\s+|very\s+)?sorry,?\s+(?:but\s+)?)?"
    r"(?:as|i\s+am|i['’]m)\s+(?:just\s+|only\s+)?an?\s+(?:large\s+)?(?:ai|a\.i\.|artificial\s+intelligence|language\s+model)"
    r"(?:[\s-]+(?:language|text|chat|based|powered|model|assistant|system|chatbot|bot))*\s*"
    r"(?:,|\.|\band\b|\bi\b|\bit\b|\bmy\b|\bwithout\b|\bdeveloped\b|\btrained\b)"
    r"|^\W*作为(?:一个|一名|一款|个)?(?:大型|大)?(?:AI|人工智能|语言模型)"
    r"|^\W*我(?:只)?是(?:一个|一款)(?:大型|大)?(?:AI|人工智能|语言模型)"
    r"|^\W*als\s+(?:eine?\s+)?(?:KI|künstliche\s+Intelligenz|Sprachmodell)\b"
    r"|^\W*en\s+tant\s+qu(?:['’]\s*|e\s+)(?:une?\s+)?(?:IA|intelligence\s+artificielle|modèle\s+de\s+langage|assistant)\b"
    r"|^\W*como\s+(?:una?\s+|uma?\s+)?(?:IA|inteligencia\s+artificial|inteligência\s+artificial|modelo\s+de\s+l)",
    regex.IGNORECASE,
)
_DECLINES = regex.compile(
    r"^\W*(?:"
    r"(?:i['’]?m|i\s+am)\s+(?:so\s+|very\s+|really\s+)?(?:sorry|afraid),?\s+(?:but\s+)?(?:that\s+)?"
    rf"(?:i\s?{_CANNOT}|this\s+(?:request|task)|as\s+an?\s+(?:ai|language\s+model)|there\s+is\s+no\s+(?:input|text))"
    rf"|(?:sorry|i\s+apologi[sz]e|(?:my\s+)?apologies|unfortunately),?\s+(?:but\s+)?i\s?{_CANNOT}"
    rf"|i\s+{_CANNOT}\s+{_SERVE}\b(?!ing)"
    r"|i(?:['’]m|\s+am)\s+(?:unable|not\s+able)\s+to\b"
    r"|i\s+(?:do\s+not|don['’]t)\s+have\s+(?:access\s+to|the\s+ability\s+to|real[\s-]?time|personal\s+(?:opinions?|feelings|"
    r"experiences?|beliefs))"
    r"|(?:很|非常|十分)?(?:抱歉|对不起|不好意思)[，,。！!]?\s*(?:但是?|可是)?(?:我|作为)?(?:无法|不能|没有办法|没办法|没有能力|作为)"
    r"|我(?:无法|不能|没有办法)(?:提供|回答|协助|帮助|帮[您你]|满足|完成|访问|查看|打开|执行|生成)"
    r"|申し訳(?:ありません|ございません|ない)[がけ、].{0,20}(?:でき|お答え|お手伝い)"
    r"|es\s+tut\s+mir\s+leid,?\s+(?:aber\s+)?(?:ich\s+kann|als\b|da(?:bei|s)\s+kann)|leider\s+kann\s+ich\b"
    r"|ich\s+kann\s+(?:dir|ihnen|dabei|diese\w*)\s+(?:leider\s+)?(?:nicht|keine)"
    r"|(?:je\s+suis\s+)?désolée?,?\s+(?:mais\s+)?je\s+ne\s+(?:peux|suis)"
    r"|je\s+ne\s+(?:peux|suis)\s+pas\s+(?:(?:vous\s+)?(?:aider|fournir|répondre)|en\s+mesure)"
    r"|lo\s+siento,?\s+(?:pero\s+)?(?:no\s+puedo|como\b)"
    r"|no\s+puedo\s+(?:ayudar|proporcionar|responder|cumplir|completar|acceder)"
    r"|desculpe,?\s+(?:mas\s+)?(?:não\s+posso|como\b)"
    r")",
    regex.IGNORECASE,
)
_WANTED = regex.compile(
    r"\b(?:apolog\w*|sorry|refus\w*|declin\w*|reject\w*|turn(?:s|ing|ed)?\s+down|excuses?|cancel\w*|regrets?|say(?:ing)?\s+no"
    r"|unable|can(?:not|['’]t)|absage\w*|entschuldig\w*|ablehn\w*|excuser|refuser|décliner|disculp\w*|rechaz\w*|declinar)\b"
    r"|道歉|抱歉|拒绝|婉拒|推辞|谢绝|对不起|お詫び|断り",
    regex.IGNORECASE,
)
_AS_A_MACHINE = regex.compile(
    r"\b(?:monologues?|stor(?:y|ies)|diary|speech|poem|scene|dialogues?|letter|role|pretend|imagine|perspective|point\s+of\s+view"
    r"|voice|character|play)\b.{0,80}\b(?:robots?|androids?|ai|a\.i\.|artificial\s+intelligence|chat-?bots?|machines?|computers?)\b"
    r"|\b(?:robot|android|ai|chat-?bot|machine|computer)['’]s\b.{0,40}\b(?:monologue|diary|speech|thoughts|poem|letter)\b",
    regex.IGNORECASE | regex.DOTALL,
)
_RETELLS = regex.compile(
    r"\b(?:translat|rewrit|rephras|paraphras|correct|edit|punctuat|shorten|simplif|complet|continu|proofread|repl|respon)\w*"
    r"|翻译|改写|润色|修改|续写|回复",
    regex.IGNORECASE,
)
_REGRET_IN_INPUT = regex.compile(
    r"\b(?:sorry|apolog\w*|unable|cannot|can['’]?t|unfortunately|lo\s+siento|no\s+puedo|désolée?|ne\s+peux|leider|leid"
    r"|kann\s+(?:ich\s+)?nicht)\b|抱歉|对不起|不能|无法|ごめん|申し訳",
    regex.IGNORECASE,
)


def refused(instruction: str, given: str, output: str) -> str | None:
    """How an output declines the task, in its words; None: it does not, or the task asks for just that.

    A task about apologies, refusals or excuses may be answered by one, and a task that retells or answers its input may
    when the input has such words; speaking as a language model is a refusal in these as well, unless they ask for it or
    a machine is to tell a story.
    """
    if _WANTED.search(instruction):
        return None
    if found := None if _AS_A_MACHINE.search(instruction) else _SPEAKS_AS_MODEL.search(output):
        return found[0]
    if _RETELLS.search(instruction) and _REGRET_IN_INPUT.search(f"{given}\n{instruction}"):
        return None
    found = _DECLINES.search(output)
    return found[0] if found else None


_ASKS_BACK = regex.compile(
    r"^\W*(?:(?:sure|certainly|of\s+course|okay|ok|yes|absolutely|great|hello|hi)\b[^.?!\n]{0,60}[.,!:]?\s+)?"
    r"(?:i(?:['’]?m|\s+am)\s+(?:here|ready|happy)\s+to\s+(?:help|assist)\b"
    r"|(?:i['’]?d\s+be\s+happy\s+to\s+help[^.?!\n]{0,60}[.!,]\s+)?(?:to\s+[^.?!\n]{3,80},\s+)?"
    r"(?:(?:could|can|would|will)\s+you\s+(?:please\s+)?|please\s+|kindly\s+|you\s+(?:need|have)\s+to\s+"
    r"|i\s+(?:will\s+|would\s+|['’]?ll\s+)?need\s+(?:you\s+to\s+)?)"
    r"(?:provide|share|give|send|specify|paste|upload|tell|enter|supply|clarify|more|the|some|a\s+few)\b"
    r"[^.?!\n]{0,120}\b(?:text|sentences?|paragraph|passage|article|list|table|data(?:base|set)?|code|function|file|image"
    r"|document|details?|information|context|content|input|question|instructions?|task|numbers?|values?|words?|condition"
    r"|prompt|example|you(?:['’]d)?\s+(?:want|would\s+like|need))\b)",
    regex.IGNORECASE,
)
_MAY_ASK = regex.compile(
    r"\b(?:e-?mails?|letters?|messages?|repl(?:y|ies)|respon\w*|ask\w*|questions?|requests?|polite\w*|customers?|forms?|surveys?"
    r"|dialogues?|scripts?|prompts?|invit\w*|announce\w*|notices?|sentences?|phrases?|say|write\s+an?\s+instruction\w*)\b",
    regex.IGNORECASE,
)


def asks_back(instruction: str, given: str, output: str) -> str | None:
    """How a short output asks for the material or for details, in its words; None where it does not, or may."""
    if len(output.split()) > 60 or _MAY_ASK.search(instruction):
        return None
    found = _ASKS_BACK.search(output)
    return found[0] if found and found[0] not in given else None
