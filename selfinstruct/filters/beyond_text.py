"""Tasks that no text model can do: to act in the world or on the web, or to see, hear and draw."""

from __future__ import annotations

from collections.abc import Callable

import regex

from selfinstruct.filters.wording import Fault, excerpt

_ADJECTIVES = r"(?:(?!(?:about|on|of|with|for|in|to|from|by|as|that|which|and|or)\b)[\p{L}\p{N}'’.-]{1,30}\s+){0,4}"
_A = r"(?:an?|the|this|that|these|some|any|my|your|our|another|one|two|three|\d+)"
_LEAD = (
    r"^\W{0,5}(?:(?:please|kindly|now|ok(?:ay)?|hey|hi|(?P<question>(?:can|will)\s+you)|(?:could|would)\s+you"
    r"|i(?:\s+want|\s+need|\s+would\s+like|['’]d\s+like)\s+you\s+to|help\s+me(?:\s+to)?|you\s+(?:should|must|need\s+to)"
    r"|your\s+task\s+is\s+to)[\s,]+){0,4}"
)
_DEVICE = r"(?:computer|machine|laptop|pc|mac|device|(?:smart)?phone|server|tablet|iphone|gpu|raspberry\s+pi)"
_WEB = r"(?:web\s?sites?|web\s?pages?|links?|urls?|web|internet|browsers?|apps?|applications?|tabs?)\b"
_PICTURE = (
    r"(?:photo(?:graph)?|picture|image|selfie|screenshot|snapshot|video|figure|diagram|painting|map|attachment)s?\b"
)

_ACTS = [
    r"(?:e-?mail|text|message|fax|dm)\s+(?:my|me|him|her|them|us|the\s+(?:team|manager|boss|teacher|client|customer)s?)\b",
    rf"(?:post|tweet)\s+(?:{_A}|it|them)\b.{{0,80}}\bon\s+(?:twitter|facebook|instagram|linkedin|my|social\s+media)",
    # Reminders, clocks and calendars. "Remind me what ..." only asks.
    r"remind\s+me\s+(?:to|at|in|on|every|tomorrow|tonight|when|again)\b",
    rf"schedule\s+{_A}\s+{_ADJECTIVES}(?:meeting|call|appointment|interview|delivery|pick-?up)s?\b",
    r"add\b.{1,80}\bto\s+my\s+(?:calendar|cart|playlist|contacts)\b",
    rf"visit\s+(?:{_A}|local)\s",
    r"(?:google|look\s+up)\s.{1,80}\b(?:online|on\s+the\s+(?:web|internet)|on\s+(?:google|wikipedia|youtube))\b",
    # Sound and pictures.
    (
        rf"play\s+(?:me\s+|us\s+)?(?:{_A}\s+)?{_ADJECTIVES}"
        r"(?:song|track|album|playlist|video|movie|film|clip|sound|audio|podcast|radio|tune|guitar|piano|violin|music)s?\b"
    ),
    r"listen\s+(?:to|carefully)\b",
    (
        rf"watch\s+{_A}\s+{_ADJECTIVES}"
        r"(?:movie|film|episode|show|series|documentary|clip|video|tv|lecture|talk|performance|trailer|match)s?\b"
    ),
    rf"(?:look\s+at|view|examine|observe|study)\s+(?:the|this|these|that)\s+{_ADJECTIVES}{_PICTURE}",
    rf"(?:record|film)\s+(?:(?:{_A}\s+){_ADJECTIVES}(?:voice|video|audio|podcast|song|sound|message|episode)s?|yourself)\b",
    # People, shops and surveys.
    (
        r"(?:call|phone|ring|dial)\s+(?:my|your|him|her|them|911|112|an?\s+(?:friend|doctor|taxi|cab|ambulance|plumber)"
        r"|me\s+(?:at|back|later|tomorrow|when)|the\s+(?:police|doctor|restaurant|hotel|office|store|bank|airline))\b"
    ),
    (
        r"order\s+(?:me\s+|us\s+)?(?:an?|some|two|three|\d+|my)\s+(?:(?!list|set)[\p{L}-]+\s+){0,3}"
        r"(?:pizzas?|foods?|dinner|lunch|breakfast|taxi|cab|groceries|coffees?|tickets?|flowers?|burgers?|cake|sushi)\b"
    ),
    rf"(?:buy|purchase|reserve|book)\s+(?:me\s+|us\s+|him\s+|her\s+)?{_A}\s",
    rf"(?:conduct|administer|carry\s+out)\s+{_A}\s+(?:[\p{{L}}-]+\s+){{0,2}}(?:survey|poll)s?\b",
    # Devices.
    rf"(?:run|execute|install|launch|test|deploy)\s.{{0,80}}\bon\s+(?:{_A})\s+(?:own\s+|local\s+|new\s+)?{_DEVICE}s?\b",
    (
        r"(?:turn|switch|shut)\s+(?:on|off|down|up)\s+(?:the|my|your|all)\s+(?:[\p{L}-]+\s+){0,2}"
        r"(?:lights?|lamps?|tv|television|computer|radio|heat(?:ing|er)|thermostat|music|phone|device|oven|fan)\b"
    ),
]
_ACTS_BUT_FOR_CODE = [
    # A program may do any of these. "Send me a recipe" only asks for a recipe.
    rf"send\s+(?:out\s+)?(?:{_A}|him|her|them|us|it|e-?mails?|messages?|invitations?)\b(?!\s+following)",
    r"send\s+(?:me|\p{L}+)\s+an?\s+(?:e-?mail|text|message|reminder|link|notification|postcard)\b",
    # Web pages, links and places.
    rf"(?:open|visit|browse|access|navigate\s+to|go\s+to|check\s+out)\s+(?:{_A}\s+|following\s+){{0,2}}{_ADJECTIVES}{_WEB}",
    r"(?:open|visit|browse|read|summari[sz]e|access)\s+(?:https?://|www\.)",
    r"click\s+(?:on\s+)?(?:the|this|an?|here)\b",
    r"search\s+(?:for\s.{1,80}\s)?(?:on\s+)?(?:the\s+)?(?:web|internet|online|google|youtube)\b",
    r"(?:log|sign)\s+in(?:to|\s+to)\s",
    rf"take\s+{_A}\s+{_ADJECTIVES}{_PICTURE}",
    rf"(?:down|up)load\s+(?:{_A}|it|them|all)\b",
    rf"(?:set|schedule)\s+(?:up\s+)?(?:me\s+)?{_A}\s+{_ADJECTIVES}(?:reminder|alarm|timer|wake-up\s+call)s?\b",
]
_DRAWS = [
    (
        rf"(?:draw|sketch|plot|graph)\s+(?:me\s+)?{_A}\s+"
        r"(?!(?:\p{L}+\s+)?(?:conclusion|inference|comparison|parallel|distinction|lesson|analog|line\s+between|stor|twist))"
        r"(?![^.?!\n]{0,60}\b(?:out\s+of|from)\s+(?:the|this|these)\s+(?:\p{L}+\s+)?(?:passages?|texts?|story|notes|report|article|letter)\b)"
        # From an urn, a deck or a hat; and what is drawn in words.
        r"(?!(?:[\p{L}-]+\s+){0,3}(?:cards?|marbles?|balls?|chips?|coins?|tiles?|straws?|lots?|tickets?|names?|numbers?|samples?"
        r"|outline|scene|character|argument|proposal|timeline|table|course|path|boundar(?:y|ies))\b)"
    ),
    (
        rf"(?:design|create|make|produce|generate|develop|paint)\s+(?:me\s+)?(?:{_A}\s+)?{_ADJECTIVES}"
        r"(?:logo|poster|infographic|illustration|painting|mural|collage|animation)s?\b"
        r"(?!\s+(?:ideas?|descriptions?|concepts?|slogans?|captions?|names?|titles?|briefs?|prompts?|copy|text|scripts?))"
    ),
    (
        rf"(?:design|create|make|produce|generate|develop|paint|record)\s+(?:me\s+)?(?:{_A}\s+)?{_ADJECTIVES}"
        r"(?:image|picture|photo(?:graph)?|drawing|video|diagram|flow-?chart|(?:bar|pie|line)\s+chart|visual\s+representation)s?"
        r"(?=\s*(?:$|[.,;:!?])|\s+(?:of|for|that|which|with|in|on|about|to|from|using|\p{L}+ing)\b)"
    ),
]
_SEEN = (
    r"(?:photo(?:graph)?s?|pictures?|images?|selfies?|screenshots?|snapshots?|videos?|audio(?:\s+(?:clip|file)s?)?"
    r"|recordings?)"
)
_SEES = regex.compile(
    r"\b(?:describe|caption|transcribe|identify|analy[sz]e|interpret|summari[sz]e|examine|crop|retouch|annotate)\b[^.?!\n]{0,60}?"
    rf"\b(?:the|this|that|these|those)\s+(?:\p{{L}}+\s+)?{_SEEN}"
    r"(?=\s*(?:$|[.,;:!?])|\s+(?:above|below|shows?|shown|provided|given|attached|depicts?|in\s+detail|for\s+me)\b)"
    rf"|^\W{{0,5}}(?:what|who|where|how\s+many)\b[^.?!\n]{{0,80}}\b(?:in|on|from)\s+(?:the|this|these)\s+{_SEEN}\s*[.?!]?$"
    rf"|\b(?:following|given|provided|attached|uploaded)\s+(?:\p{{L}}+\s+)?(?:{_SEEN}|diagrams?|drawings?|paintings?)\b"
    r"(?!\s+(?:descriptions?|captions?|titles?|names?|ideas?|prompts?|scripts?|transcripts?|games?))"
    rf"|\b{_SEEN}\s+(?:above|below|provided|attached|shown)\b",
    regex.IGNORECASE,
)
_THEN_ACTS = [
    r"(?:send|e-?mail|forward|text|mail)\s+(?:it|them|this|that)\s+to\b",
    r"(?:book|buy|order|purchase|reserve|download|upload|install)\s+(?:it|them)\b",
    r"(?:open|click|visit)\s+(?:the|this)\s+(?:link|website|page|url)\b",
    r"remind\s+me\s+(?:to|at|in|tomorrow|when)\b",
    r"call\s+me\b",
]
_ACT = regex.compile(_LEAD + "(?:" + "|".join(_ACTS) + ")", regex.IGNORECASE)
_ACT_BUT_FOR_CODE = regex.compile(_LEAD + "(?:" + "|".join(_ACTS_BUT_FOR_CODE) + ")", regex.IGNORECASE)
_DRAW = regex.compile(_LEAD + "(?:" + "|".join(_DRAWS) + ")", regex.IGNORECASE)
_THEN_ACT = regex.compile(r"\b(?:and|then)\s+(?:" + "|".join(_THEN_ACTS) + ")", regex.IGNORECASE)
_TELLS = regex.compile(
    r"\b(?:how|steps?|guide|instructions?|explain|describe|tips?|ways?|story|scene|poem|script|what|why|who|function|code"
    r"|program|process|method|translate|rewrite|correct|sentence|algorithm)\b|[\"“”«»:]",
    regex.IGNORECASE,
)
_ATTACHED = regex.compile(
    r"\battached\s+(?:[\p{L}-]+\s+)?(?:documents?|files?|images?|photos?|pictures?|spreadsheets?|pdfs?|texts?|articles?|"
    r"reports?|e-?mails?|essays?|videos?|tables?|data(?:set)?|papers?|letters?|sheets?|passages?|link)\b"
    r"|\b(?:see|find|review|read|open|use|in|from|per)\s+(?:the\s+)?attach(?:ed|ments?)\b(?!\s+(?:style|theor|disorder|to\b))"
    r"|\b(?:is|are|['’]s)\s+attached\s*(?:[.!]|$|below|here)"
    r"|\b(?:uploaded|have\s+uploaded)\s+(?:the\s+|a\s+|my\s+)?(?:documents?|files?|images?|photos?|pictures?|pdfs?)\b",
    regex.IGNORECASE,
)
_WRITING = regex.compile(
    r"^\W{0,5}(?:please\s+)?(?:write|draft|compose|rewrite|reply|explain|describe|define|how|what|why)\b",
    regex.IGNORECASE,
)
_CODE = regex.compile(
    r"\b(?:python|java(?:script)?|typescript|node(?:\.js)?|c\+\+|c#|golang|rust|php|ruby|matlab|bash|shell|terminal|curl|html|css|svg|sql"
    r"|apis?|https?\s+requests?|code|coding|functions?|methods?|class|library|scripts?|programs?|programming|algorithms?|latex|ascii"
    r"|mermaid|alt\s+text|selenium)\b|代码|编程|程序|函数|脚本",
    regex.IGNORECASE,
)
_IN_WORDS = regex.compile(
    r"\b(?:in|with)\s+(?:\p{L}+\s+)?(?:words|sentences|lines)\b|\bdescri(?:be|ption)|\bincluding\b",
    regex.IGNORECASE,
)
_PERSONAL = regex.compile(r"\b(?:me|my|us|our|please)\b|\d", regex.IGNORECASE)
_CHINESE_ACT = regex.compile(
    r"^(?:请|请你|帮我|麻烦你?|帮忙|你能|你可以|能否|可以){0,3}(?:"
    r"(?:发送|发|寄)(?:一?[封条个份])?[^，。写]{0,10}(?:邮件|短信|消息|微信)(?:给|到|通知)"
    r"|给[^，。写]{1,12}(?:发送?|打)(?:一?[封条个份])?[^，。写]{0,6}(?:邮件|短信|消息|微信|电话)(?!的|.{0,40}写)"
    r"|(?:每天|明天|今晚|到时)?[^，。]{0,8}提醒我"
    r"|(?:设置|设定|设|定)(?:一?个)?[^，。的]{0,10}(?:闹钟|闹铃|提醒|计时器)(?!的)"
    r"|(?:打开|访问|浏览|点击|登录)(?:这个|该|以下|下面的?|一个|我的|此)?[^，。]{0,8}(?:网页|网站|链接|网址|浏览器|应用)"
    r"|播放(?:一|这|我|音乐|歌)|(?:收?听|观看|看)(?:一[段首部下]|这[段首部]|以下|下面)[^，。]{0,6}(?:音乐|歌|视频|电影|录音|音频)"
    r"|(?:下载|上传)(?:这|该|一|以下|我)|拍(?:一张|张|一下)|(?:打电话|致电)(?:给|通知)"
    r"|(?:预[订定]|订购?|购?买)(?:一|两|明天|今晚|去)"
    r"|(?:上网|在网上|在互联网上)(?:搜索|查)"
    r"|在[你我]的(?:电脑|手机|设备|服务器)上(?:运行|执行|安装))"
)
_CHINESE_PICTURE = r"(?:图片|图像|照片|截图|插图|示意图|流程图|折线图|柱状图|饼图|地图|视频|音频|录音)"
_CHINESE_SEES = regex.compile(
    rf"(?:这|该|下面的?|以下|所给的?|给定的?|附上的?)(?:一?[张幅段个])?{_CHINESE_PICTURE}(?!的?(?:标题|文案|脚本|说明|描述))"
    rf"|{_CHINESE_PICTURE}[里中上](?:的|有|是|显|展|呈)|附件[里中]的?"
    r"|^(?:请|请你|帮我|你能|可以){0,3}(?:绘制|画)(?:出|一|个|张|幅|下)(?!.{0,8}(?:表格|句号)|.{0,40}(?:怎么|怎样|如何))"
)


def beyond_text() -> Callable[[str], Fault | None]:
    """A check that finds what a text model cannot do, `beyond_text`: act, remind, browse, listen, watch, buy, see.

    An act counts where the instruction itself commands it: at its beginning, or after "and" or "then" when nothing is
    told, quoted or explained. "Write an email to ...", "Explain how to set an alarm clock" and "Play the role of ..."
    ask for text. A question such as "Can you watch a film on a plane?" counts only when it speaks of the user. A
    picture or a recording counts wherever the task is about one that would have to be there. What code may do, or words
    may stand for, does not count where the task speaks of code or words.
    """

    def check(text: str) -> Fault | None:
        found = _act(text) or _CHINESE_ACT.search(text)
        if found is None and not _CODE.search(text):
            found = _SEES.search(text) or _CHINESE_SEES.search(text)
        if found is None and not _WRITING.search(text):
            found = _ATTACHED.search(text)
        if found is None and not _TELLS.search(text):
            found = _THEN_ACT.search(text)
        return Fault("beyond_text", f'"{excerpt(found[0])}"') if found else None

    return check


def _act(text: str) -> regex.Match[str] | None:
    found = _ACT.search(text)
    if found is None and not _CODE.search(text):
        found = _ACT_BUT_FOR_CODE.search(text) or (None if _IN_WORDS.search(text) else _DRAW.search(text))
    if found is None:
        return None
    asks_in_general = found["question"] and text.rstrip().endswith("?") and not _PERSONAL.search(text)
    return None if asks_in_general else found
