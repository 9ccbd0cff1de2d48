"""Personal data and secrets: what counts, what everybody uses as an example, masks, and rejections on all ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct import algorithm
from selfinstruct.checks.personal_data import find_personal_data, mask, personal_data
from selfinstruct.checks.screening import fault_of_input, screen_instances
from selfinstruct.config.loading import load
from selfinstruct.config.shaping import pool_settings
from selfinstruct.types import Candidate, InstanceCandidate, Task
from tests.builders import settings

KEY = "hf_" + "kQzRtYpLmNvBcXwSdFgHjKlPoIuYtReWq"
TOKEN = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJ1aWQiOiI4MjcxNTMifQ", "q7Rw2Xz9LkPv5TnMb3YcJd8HsGfKa6Qe"))
BLOCK = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQtuT2Rk9Zq3LxVw7Ty2PsK8Jm5HcFe4Rg1DiUy6AoXlCv0BsNzMhQ"
PRIVATE_KEY = "PRIVATE" + " KEY"
PRIVATE = f"-----BEGIN OPENSSH {PRIVATE_KEY}-----\n{BLOCK}\n-----END OPENSSH {PRIVATE_KEY}-----"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to emma.larsson84@gmail.com today.", "EMAIL"),
        ("联系邮箱：liwei_1987@163.com。", "EMAIL"),
        ("Mail (k.novakova+work@seznam.cz)", "EMAIL"),
        ("Call +49 30 9018 2047 after six.", "PHONE"),
        ("call (212) 736-5047 or come by", "PHONE"),
        ("My number is 1-503-226-3197.", "PHONE"),
        ("请拨打13912045768。", "PHONE"),
        ("Tel.: 030 9018-2047", "PHONE"),
        ("Téléphone : 04 78 62 39 17", "PHONE"),
        ("+33 4 78 62 39 17", "PHONE"),
        ("Paid with 4539 1488 0343 6467.", "CARD"),
        ("My credit card is 4539148803436467", "CARD"),
        ("3714 496353 98431 is one of tests, 3782 822463 10005 too, 3742 451400 12906 12/27 is not", "CARD"),
        ("IBAN: DE75 5121 0800 1245 1261 99", "IBAN"),
        ("Send it to GB98LOYD30962718402936", "IBAN"),
        (f"huggingface-cli login --token {KEY}", "KEY"),
        ("AWS_KEY = AKIA" + "2E0A8F3B244C9986", "KEY"),
        ('api_key = "9f8Kx2LmQ0vTz7RbW4yNcPdS"', "KEY"),
        (f"Authorization: Bearer {TOKEN}", "KEY"),
        (PRIVATE, "KEY"),
    ],
)
def test_personal_data_is_found(text: str, kind: str) -> None:
    assert [found.kind for found in find_personal_data(text)] == [kind]
    fault = personal_data(text)
    assert fault is not None
    assert fault.reason == "personal_data"


@pytest.mark.parametrize(
    "text",
    [
        "jane.doe@example.com, bob@mail.example.org, x@host.test, john@localhost",
        "info@zeit.de and support@python.org and no-reply@github.com",
        "john.smith@gmail.com, your.name@gmail.com, sarah@yourcompany.com, max.mustermann@web.de, anna@firma.de",
        "git clone git@github.com:psf/requests.git",
        "@app.route('/a') and @property and a@b",
        "A matrix product is written a @ b.",
        "(415) 555-2671, 555-0199, +1-202-555-0173, 123-456-7890",
        "+44 20 7946 0958, +44 7700 900123, +61 491 570 156, +49 30 23125 042, +33 1 99 00 12 34",
        "Call 1-800-275-8777 or dial 911.",
        "电话：12345678901，13800000000，13812345678",
        "Pi is 3.14159265358979323846264338327950288.",
        "Add 4539148803436467 and 12.",
        "From 2019-2020 to 2021-2022, 1066-1087, 10-12-2019, 192.168.100.200",
        "ISBN 978-3-16-148410-0, order 0049-3018-2047-1",
        "Use the test cards 4242 4242 4242 4242, 4111 1111 1111 1111 or 5555-5555-5555-4444.",
        "card 4539 1488 0343 6468",
        "DE89 3704 0044 0532 0130 00 and GB29 NWBK 6016 1331 9268 19 are the usual examples.",
        "DE75 5121 0800 1245 1261 98",
        "export OPENAI_API_KEY=sk-your-key-goes-here-0000",
        "AKIAIOSFODNN7EXAMPLE",
        'password = "correct-horse-battery-staple"',
        "The secret is: internationalization_is_long",
        "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    ],
)
def test_examples_and_look_alikes_are_left_alone(text: str) -> None:
    assert find_personal_data(text) == []


def test_masks_are_the_same_for_a_value_however_it_is_spelled_and_go_on_counting() -> None:
    given = "a.berg@gmail.com, (212) 736-5047, k.holm@gmail.com, IBAN DE75512108001245126199"
    output = "A.Berg@gmail.com; 212-736-5047; DE75 5121 0800 1245 1261 99; [EMAIL_3] stays"
    masked = mask(given, output)
    assert masked == (
        "[EMAIL_4], [PHONE_1], [EMAIL_5], IBAN [IBAN_1]",
        "[EMAIL_4]; [PHONE_1]; [IBAN_1]; [EMAIL_3] stays",
    )
    assert mask(*masked) == masked


@given(st.lists(st.text(st.characters()) | st.sampled_from([KEY, "a.berg@gmail.com", "+49 30 90182047"]), max_size=4))
def test_no_text_makes_a_mask_raise_and_nothing_is_left_to_mask(texts: list[str]) -> None:
    masked = mask(*texts)
    assert len(masked) == len(texts)
    assert all(find_personal_data(text) == [] for text in masked)


def decision(how: str, instruction: str) -> algorithm.Decision:
    screening = algorithm.Screening("unicode", lambda start: iter(()))
    return screening.decide(Candidate("r", 0, instruction), [], settings(personal_data=how))


INSTRUCTION = "Write a reminder to a.berg@gmail.com about the rent."


def test_instructions_are_rejected_masked_or_kept() -> None:
    rejected = decision("reject", INSTRUCTION)
    assert (rejected.reason, rejected.text, rejected.evidence) == (  # type: ignore[union-attr]
        "personal_data", INSTRUCTION, 'an e-mail address: "a.…"'
    )  # fmt: skip
    masked, kept = decision("mask", INSTRUCTION), decision("off", INSTRUCTION)
    assert masked.task.instruction == "Write a reminder to [EMAIL_1] about the rent."  # type: ignore[union-attr]
    assert kept.task.instruction == INSTRUCTION  # type: ignore[union-attr]
    assert masked.task.id == kept.task.id  # type: ignore[union-attr]


def test_a_rejected_instruction_keeps_its_own_words_where_the_rest_is_masked() -> None:
    found = decision("mask", "Design a logo for a.berg@gmail.com tonight.")
    assert (found.reason, found.text) == ("beyond_text", "Design a logo for a.berg@gmail.com tonight.")  # type: ignore[union-attr]


@pytest.mark.parametrize(("given_input", "output"), [("a.berg@gmail.com", "Done."), ("", "Write to a.berg@gmail.com.")])
def test_instances_are_rejected_masked_or_kept(given_input: str, output: str) -> None:
    task = Task("t", "Tell me about [EMAIL_1] and the rest.", False)
    candidates = (InstanceCandidate("r", 0, given_input, output),)

    def settle(how: str) -> tuple[list[tuple[str, str]], list[str]]:
        kept, rejected = screen_instances(task, candidates, settings(personal_data=how))
        return [(one.input, one.output) for one in kept], [one.reason for one in rejected]

    assert settle("reject") == ([], ["personal_data"])
    assert settle("off") == ([(given_input, output)], [])
    hidden = (text.replace("a.berg@gmail.com", "[EMAIL_2]") for text in (given_input, output))
    assert settle("mask") == ([tuple(hidden)], [])


def test_no_answer_is_paid_for_where_the_input_is_rejected() -> None:
    task = Task("t", "Sum it up.", False)
    fault = fault_of_input(task, "From a.berg@gmail.com", settings(personal_data="reject"))
    assert fault is not None
    assert fault.reason == "personal_data"
    assert fault_of_input(task, "From a.berg@gmail.com", settings(personal_data="mask")) is None


@pytest.mark.parametrize("how", ["reject", "mask"])
def test_the_recipe_original_masks_and_rejects_nothing(tmp_path: Path, how: str) -> None:
    (tmp_path / "c.toml").write_text(f'recipe = "original"\n[filters]\npersonal_data = "{how}"\n', encoding="utf-8")
    chosen = pool_settings(load(tmp_path / "c.toml", {}), "m")
    screening = algorithm.Screening("rouge_score", lambda start: iter(()))
    found = screening.decide(Candidate("r", 0, INSTRUCTION), [], chosen)
    assert isinstance(found, algorithm.Accepted)
    assert "a.berg@gmail.com" in found.task.instruction
