"""Each rule for instructions: what it hits, and what comes near and must survive."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.filters.instructions import (
    beyond_text,
    blocked_words,
    broken_text,
    copy_of_demonstration,
    fault_of_instruction,
    instruction_rules,
    merged_tasks,
    placeholder,
    starts_with_punctuation,
    too_long,
    too_short,
    unfinished,
)
from selfinstruct.filters.wording import word_count
from selfinstruct.settings import FilterSettings, Settings

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
ANY_TEXT = st.text(st.characters()) | st.text(
    st.sampled_from("ab AN1.,:;\"“”'[](){}<>\n\t\0_X…中的、。《\ud800\ufffd#*`")
)


def settings(min_words: int = 4, max_words: int = 150, blocked: tuple[str, ...] = ()) -> Settings:
    filters = FilterSettings(min_words=min_words, max_words=max_words, blocked_words=blocked, personal_data="off")
    return Settings(prompts={}, stages={}, filters=filters)


RULES = instruction_rules(settings(blocked=("secret", "map")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Explain why the sky\0 is blue.", "broken_text"),
        ("Tidy up.", "too_short"),
        ("word " * 151, "too_long"),
        ("# Explain why the sky is blue.", "starts_with_punctuation"),
        ("Describe what the secret is about.", "blocked_words"),
        ("Explain the difference between the", "unfinished"),
        ("Write a poem about [insert topic].", "placeholder"),
        ("Write a haiku about rain.\n2. Explain how rain forms.", "merged_tasks"),
        ("Answer Accept or Reject for this password. 8. Next the page numbers follow a rule.", "merged_tasks"),
        ("Set an alarm for seven tomorrow.", "beyond_text"),
        ("Explain why the sky is blue.", None),
    ],
)
def test_each_fault_has_its_reason(text: str, reason: str | None) -> None:
    fault = fault_of_instruction(text, RULES)
    assert (fault.reason if fault else None) == reason
    assert fault is None or fault.evidence


def test_the_first_rule_that_hits_decides() -> None:
    fault = fault_of_instruction("# map", RULES)
    assert fault is not None
    assert fault.reason == "starts_with_punctuation"


def test_of_real_instructions_few_are_refused_and_each_is_beyond_text() -> None:
    path = SHARED / "data" / "gpt4o_mini_instructions_10k.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    read = path.read_text("utf-8").splitlines()
    refused = [(text, fault) for text in read if (fault := fault_of_instruction(text, instruction_rules(settings())))]
    assert {fault.reason for _, fault in refused} == {"beyond_text"}
    assert 100 <= len(refused) <= 115
    answerable = ("script for", "mind map", "including color")
    assert [text for text, _ in refused if any(words in text for words in answerable)] == []


@given(ANY_TEXT)
def test_no_text_makes_a_rule_raise(text: str) -> None:
    for rule in RULES:
        rule(text)
    copy_of_demonstration(text, (text[1:],))


@given(ANY_TEXT)
def test_an_evidence_can_be_written_as_utf_8_where_the_rules_run_in_order(text: str) -> None:
    if fault := fault_of_instruction(text, RULES):
        assert fault.evidence.encode()


@pytest.mark.parametrize(
    "text",
    ["a\0b", "a\x07b", "a\x1b[0m", "lone \ud83d half", "line\rline", "caf\ufffd au lait", "?? \ufffd\ufffd", "\x92s"],
)
def test_broken_text_is_found(text: str) -> None:
    assert broken_text(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "tab\tand\nnewline",
        "crlf\r\nline",
        "an emoji 😀",
        "naïve 中文 ไทย",
        "zero\u200dwidth",
        "",
    ],
)
def test_whole_text_is_not_broken(text: str) -> None:
    assert broken_text(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Explain this idiom to me.", 5),
        ("Is it true ?", 3),
        ("解释这个成语。", 4),
        ("用Python解释递归。", Fraction(13, 3)),
        ("이 속담을 설명하세요.", Fraction(9, 2)),
        ("a" * 41, 2),
        ("", 0),
        ("。。。 ...", 0),
    ],
)
def test_words_are_counted_in_any_script(text: str, words: int | Fraction) -> None:
    assert word_count(text) == words


@pytest.mark.parametrize(
    "text", ["Sort this list.", "排序。", "写一首诗。", "讲个笑话。", "시를 쓰세요.", "... ... ... ...", "", "เขียน"]
)
def test_short_texts_are_found(text: str) -> None:
    assert too_short(4)(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Sort this list alphabetically.",
        "解释这个成语。",
        "请把下面的句子翻译成英文。",
        "このことわざを説明して。",
        "이 속담을 설명하세요.",
        "อธิบายความหมายของสำนวนนี้",
        "用Python写一个排序函数",
    ],
)
def test_texts_of_four_words_are_long_enough(text: str) -> None:
    assert too_short(4)(text) is None


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("a " * 150, False),
        ("a " * 151, True),
        ("字" * 225, False),
        ("字" * 226, True),
        ("A line: " + "* " * 9000, True),
    ],
)
def test_long_texts_are_found(text: str, hit: bool) -> None:
    assert (too_long(150)(text) is not None) == hit


BLOCKED = ("image", "go to", "files", "map", "graph", "video", "draw", "plot", "图片", "附件")


@pytest.mark.parametrize(
    "text",
    [
        "Describe the IMAGE in detail.",
        "Where should I go  to\neat tonight?",
        "List the files by size.",
        "Explain the ｍａｐ to a child.",
        "Describe the flow-chart and the graph.",
        "请描述这张图片的内容。",
        "总结附件里的要点",
        "Was it a 'video'?",
    ],
)
def test_blocked_words_are_found(text: str) -> None:
    assert blocked_words(BLOCKED)(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Explain what a paragraph is.",
        "Write a profile of a chemist.",
        "Use your imagination to describe a mapmaker.",
        "Write about a drawing lesson and a plotter.",
        "Why does the dog together with the cat sleep?",
        "Explain what gråph means.",
        "Forgo toast for a week and describe it.",
        "说说这首诗的意境。",
    ],
)
def test_longer_words_that_contain_blocked_ones_survive(text: str) -> None:
    assert blocked_words(BLOCKED)(text) is None


def test_the_blocked_words_come_from_the_settings() -> None:
    rule = blocked_words(("data", "c++", " dry   run ", ""))
    assert rule("Normalise the data please") is not None
    assert rule("Explain templates in C++ today") is not None
    assert rule("Describe a dry\trun of it") is not None
    assert rule("Normalise the database please") is None
    assert blocked_words(())("image") is None
    assert blocked_words(("", " "))("image") is None


@pytest.mark.parametrize(
    "text",
    [
        "Send an email to my landlord about the rent.",
        "Please remind me to water the plants.",
        "Set an alarm for 7 am.",
        "Open the following website and read its first page.",
        "Visit a local museum and take notes.",
        "Browse the web for cheap flights.",
        "Click on the link below to begin.",
        "Play a relaxing song for me.",
        "Listen to the recording and write it down.",
        "Watch the documentary and sum it up.",
        "Look at the attached photo and describe it.",
        "Take a photo of your lunch.",
        "Call my dentist and move the appointment.",
        "Order a large pizza for four people.",
        "Buy two tickets for the concert.",
        "Can you book a table for two for me?",
        "Run this code on your computer and report the time.",
        "Download the newest release of Firefox.",
        "Review the attached document for errors.",
        "Find the cheapest flight to Rome and book it.",
        "Design a logo for a bakery.",
        "Sketch a floor layout for a small shop.",
        "Schedule a meeting with the team on Friday.",
        "Turn off the lights in the kitchen.",
        "请帮我给客户发一封邮件。",
        "请提醒我明天下午开会。",
        "帮我打开这个网页并总结内容。",
        "播放一首轻松的歌",
        "Describe what the picture shows.",
        "Caption these photos.",
        "Transcribe the audio clip.",
        "What animals are in the picture?",
        "Summarize the given video for a busy reader.",
        "Write a story inspired by the screenshot below.",
        "Draw a picture of a cat on a mat.",
        "Plot a graph of monthly sales.",
        "Generate an image of a mountain lake.",
        "Make a short video about recycling.",
        "Create a flowchart of the hiring process.",
        "Look at the map and describe the way.",
        "Go to the company's website and note its prices.",
        "请描述这张图片的内容。",
        "总结附件里的要点",
        "画一幅秋天的风景画。",
    ],
)
def test_what_a_text_model_cannot_do_is_found(text: str) -> None:
    assert beyond_text()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Write an email to my landlord about the rent.",
        "Write an email to a client with the attached invoice in mind.",
        "Describe how to book a hotel in Japan.",
        "Explain how to set an alarm clock.",
        "Play the role of a piano teacher and answer the pupil.",
        "What does it mean to watch one's language?",
        "Watch out for false friends in this translation.",
        "Order the following numbers from smallest to largest.",
        "Order a shuffled list of books by year.",
        "Send me a recipe for lentil soup.",
        "Remind me what the capital of Peru is.",
        "Open the story with a line of dialogue.",
        "Set a timer in JavaScript that fires every second.",
        "Call a function twice and explain the result.",
        "Write a Python script that downloads a web page.",
        "Explain what it means to be attached to a place.",
        "Describe the anxious attachment style.",
        "Take a position on school uniforms and defend it.",
        "Run through the main arguments for a carbon tax.",
        "Can you watch a movie on a plane?",
        "Suggest names for a design studio's logo.",
        "Design a logo concept and describe it in words.",
        "Draw a conclusion from these two premises.",
        "Book reviews often spoil endings; rewrite this one.",
        "Research and summarize the history of tea.",
        "Visitors complain about the queue; write a reply.",
        "Translate into German: stand up and send it to me.",
        "给客户写一封道歉邮件。",
        "打电话的礼仪有哪些？",
        "给小朋友发短信祝福语，写三条。",
        "说明如何下载并安装软件。",
        "Draw two cards from a deck; what is the chance of two aces?",
        "What is the chance of a red one if you draw three marbles from a bag?",
        "Draw the chain of causes out of the passage below as a numbered list.",
        "Draw a parallel between the two essays.",
        "Sketch an outline of an essay on tides.",
        "Write a function that reads a file and counts its lines.",
        "Explain the difference between a file path and a URL.",
        "Given a file path in Python, return its extension.",
        "Map a function over a list of numbers.",
        "Explain the map function in JavaScript.",
        "State Euler's theorem of graph theory.",
        "Find the shortest path in the given graph.",
        "Explain when a program should use go to.",
        "How do I go to the next line in Vim?",
        "Write Python code that plots a graph of sales.",
        "Plot the data with matplotlib in Python.",
        "Rotate the given image in Python by a matrix.",
        "Write CSS that centres the image in a box.",
        "Write alt text for the following image of a dog on a beach.",
        "Write a caption for an image of a sunset.",
        "Write a script for a two-minute promotional video.",
        "Suggest titles for a video about bread.",
        "Create a mind map of the main themes of a chosen book.",
        "Create a video game concept for two players.",
        "Download a page with curl in a shell script.",
        "Send a POST request with the requests library in Python.",
        "Open a browser tab with Selenium in Python.",
        "What picture of the city does the poem paint?",
        "Explain the role of the video card in a computer.",
        "解释图论中的欧拉定理。",
        "用Python绘制一个折线图。",
        "画一条时间线的文字说明怎么写？",
    ],
)
def test_tasks_of_text_about_such_acts_survive(text: str) -> None:
    assert beyond_text()(text) is None


@pytest.mark.parametrize(
    "text", ["- Write a poem", "* poem", "(a) list", "$5 in euros?", "。你好", "😀 what?", "“Poem.”"]
)
def test_punctuation_at_the_start_is_found(text: str) -> None:
    assert starts_with_punctuation()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "¿Qué es esto?",
        "¡Escribe un poema!",
        "《红楼梦》的作者是谁？",
        "「桜」を英語に訳して",
        "3 tips for sleep",
        "Éclairs?",
        "  Plain",
        "",
        "“Go” in French?",
        '"The data is" or "the data are": which of them should I write in a thesis?',
    ],
)
def test_other_starts_survive(text: str) -> None:
    assert starts_with_punctuation()(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Write a haiku about rain.\n10. Explain how rain forms.",
        "1. Write a haiku about rain.\n2. Explain how rain forms.",
        "Write a haiku about rain. 10.Describe a storm at sea.",
        "Task 1: Write a haiku. Task 2: Explain rain.",
        "Explain rain.\nTask: Write a haiku.",
        "### Instruction\nWrite a haiku.",
        "Instruction: write a haiku about rain.",
        "Write a haiku about rain.\n\nTranslate a proverb into French.",
        '{"instruction": "Write a haiku about rain"',
        'Write a haiku about rain."}',
        "Reverse the words.\nInput: a b\nOutput: b a",
        "Reverse the words. input: a b. output: b a",
        "1. 写一首关于雨的诗。\n2. 解释雨的成因。",
    ],
)
def test_merged_tasks_are_found(text: str) -> None:
    assert merged_tasks()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "List 3 tips for better sleep.",
        "Give steps 1 to 5 of the water cycle.",
        "Read the poem. Name its theme. Explain your choice.",
        "Answer these questions:\n1. What is rain?\n2. Why does it fall?",
        "1. Write a haiku about rain.",
        "1) Read the passage. 2) Answer the question.",
        "Pick a category: 1) orders; 2) returns; 3) faults.",
        "Write a story about a dog.\n\nUse at least three adjectives.",
        "Write a story about a dog.\n\nThen translate it into French.",
        "Write a story about a dog.\n\nSummarize the story in a line.",
        "Here is an example.\nInput: a b\nOutput: b a\nReverse the words.",
        'Return a JSON object such as {"name": "Ann"}',
        "Describe a task that takes patience: knitting, for one.",
        "It was founded in 1995. Explain what it does.",
        "回答下面的问题：\n1. 雨是什么？\n2. 为什么下雨？",
    ],
)
def test_single_tasks_survive(text: str) -> None:
    assert merged_tasks()(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Write a poem about [insert topic].",
        "Translate <your text> into French.",
        "Translate it into {language} for me.",
        "Summarise [topic] in a line.",
        "Write a letter to XXX about rent.",
        "Who is the author? ________",
        "Write an advert for [Company Name].",
        "写一篇关于【请填写主题】的文章。",
        "Begin with [Your Name] and go on.",
    ],
)
def test_instructions_with_a_hole_are_found(text: str) -> None:
    assert placeholder()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Fill in the blank: the sky is ____.",
        "Complete this: Roses are ____.",
        "Sort [1, 2, 3] from high to low.",
        "Explain [x for x in y] in Python.",
        "Replace [MASK] with a fitting verb.",
        "Read [this text](https://a.example) on rain.",
        "Write a template with [Your Name] at its end.",
        "Replace the placeholders, such as [name], with words.",
        "Convert XXX to Arabic from Roman numerals.",
        "Simplify \\frac{number}{2} step by step.",
        "Fill the <mask> in the html document.",
        "What does the <title> tag do?",
        "填空：天空是____色的。",
        "List the subsets of {a, b, c}.",
    ],
)
def test_brackets_and_blanks_with_a_purpose_survive(text: str) -> None:
    assert placeholder()(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "List three fruits, two herbs,",
        "Come up with a series of tasks:",
        "Explain the terms (in particular the second",
        'Translate the word "house',
        "Translate this: “The stars are",
        "Write about a day when...",
        "Describe the difference between a lake and a",
        "Describe the process of",
        "Write a letter to",
        "Fix this:\n```python\nx = 1",
        "列出三种水果，",
        "说说你的爱好，例如",
    ],
)
def test_unfinished_texts_are_found(text: str) -> None:
    assert unfinished()(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Complete the sentence: The sky is",
        "Summarize this email into a single sentence:",
        "Generate a haiku using the following word:",
        "Question: in which year did it happen?\nAnswer:",
        'Continue the story "Once upon a time..."',
        "Continue: once upon a time...",
        "What comes next in 1, 4, 7, 10...",
        "Describe the house that you would like to live in",
        "Name three things people are proud of",
        "Explain when to use the articles a and the",
        "Explain the difference between a and an",
        "List ten words that begin with the letter a",
        "Pick a topic: 1) sport; 2) art; 3) food.",
        "Solve it on the interval (0, 1]",
        'Explain the 5" disk and the 3" disk',
        "Reply to the message that ends in a :(",
        "Nenne drei Gründe und gib eine Quelle an",
        "计算这些数的总和",
        "Was bedeutet „Feierabend“?",
        "把下面的句子翻译成英文：",
    ],
)
def test_finished_texts_survive(text: str) -> None:
    assert unfinished()(text) is None


@pytest.mark.parametrize(
    "shown",
    [
        "Write a haiku about rain",
        "  write a HAIKU,\nabout rain!",
        "Ｗrite a haiku about rain.",
        "“Write a haiku about rain”",
    ],
)
def test_a_copy_of_a_demonstration_is_found(shown: str) -> None:
    fault = copy_of_demonstration("Write a haiku about rain.", ["Explain tides.", shown])
    assert fault is not None
    assert fault.reason == "copy_of_demonstration"


@pytest.mark.parametrize("shown", ["Write a haiku about rains.", "Write a haiku", "Explain C++ to me", "", "..."])
def test_other_words_than_the_demonstrations_survive(shown: str) -> None:
    assert copy_of_demonstration("Write a haiku about rain.", [shown]) is None
    assert copy_of_demonstration("Explain C to me", [shown]) is None


def _instructions(path: Path) -> list[str]:
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["instruction"] for line in lines]


@pytest.mark.parametrize("name", ["en", "zh"])
def test_no_shipped_seed_has_a_fault(name: str) -> None:
    texts = _instructions(ROOT / "seeds" / f"{name}.jsonl")
    assert [(text, fault) for text in texts if (fault := fault_of_instruction(text, RULES))] == []


def test_of_the_original_seeds_only_two_are_short_and_one_has_an_open_quote() -> None:
    texts = _instructions(SHARED / "parity" / "seed_tasks.jsonl")
    reasons = [fault.reason for text in texts if (fault := fault_of_instruction(text, RULES))]
    assert sorted(reasons) == ["too_short", "too_short", "unfinished"]
