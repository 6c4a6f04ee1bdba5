"""Which questions are one: the table of the research, Korean pairs, and what no pair may differ in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.text.words import folded
from holdfast.rooms.llm.rules.semantic import THRESHOLD, disagreement, facts, scope_and_question
from holdfast.rooms.llm.rules.vectors import cosine, vector

SAME = [
    ("How do I turn on dark mode?", "How can I enable dark mode?"),
    ("How do I turn on dark mode?", "how do i switch on dark mode"),
    ("how to turn the light off", "How can I switch off the light?"),
    ("What is the capital of France?", "what's France's capital"),
    ("How do I reset my password?", "Please tell me how to reset my password"),
    ("Which hotels are in Paris?", "which hotel is in Paris"),
    ("How much is 1,000 won in dollars?", "how much is 1000 won in dollars"),
    ("I don't have an account", "I do not have an account"),
    ("Is it two days?", "is it 2 days"),
    ("비밀번호를 어떻게 재설정하나요?", "비밀번호 재설정 방법 알려줘"),
    ("비밀번호를 재설정하려면 어떻게 해야 하나요?", "비밀번호 재설정하는 방법이 뭐예요?"),
    ("대한민국의 수도는 어디인가요?", "대한민국 수도가 어디야?"),
    ("다크 모드를 켜는 방법", "다크 모드 켜려면 어떻게 하나요?"),
    ("환불 되나요?", "혹시 환불 되나요"),
]
OTHER = [
    ("turn on dark mode", "turn off dark mode", "directions"),
    ("enable dark mode", "disable dark mode", "directions"),
    ("increase the volume", "decrease the volume", "directions"),
    ("raise the price", "reduce the price", "directions"),
    ("What is the capital of France?", "What is the capital of Germany?", "content"),
    ("Nintendo Switch price", "Nintendo price", "content"),
    ("convert USD to EUR", "convert EUR to USD", "content"),
    ("Can I eat before surgery?", "Can I eat after surgery?", "marks"),
    ("Can I eat before sleep?", "Can I, before eat, sleep?", "marks"),
    ("flights from Seoul", "flights to Seoul", "marks"),
    ("Who is the president?", "Who was the president?", "marks"),
    ("Should I restart it?", "Can I restart it?", "marks"),
    ("delete all files", "delete some files", "marks"),
    ("my order", "your order", "marks"),
    ("How do I pay?", "Can I pay?", "asks"),
    ("Who called?", "When called?", "asks"),
    ("Is it safe?", "Is it not safe?", "negations"),
    ("I can log in", "I can't log in", "negations"),
    ("tea with sugar", "tea without sugar", "negations"),
    ("tea and not milk, rum", "not tea and milk, rum", "negations"),
    ("works with a nurse", "works as a nurse", "marks"),
    ("Can cats eat grass?", "Do cats eat grass?", "marks"),
    ("What is it?", "Do you like that?", "content"),
    ("Do I have a refund?", "Do I get a refund?", "content"),
    ("5 kg in pounds", "6 kg in pounds", "numbers"),
    ("5 kg and 3 lb", "3 kg and 5 lb", "numbers"),
    ("is -5 cold", "is 5 cold", "numbers"),
    ("the two of us", "the 3 of us", "numbers"),
    ("5 kg in pounds", "5 km in pounds", "content"),
    ("a job for us", "a job for US", "names"),
    ("vitamin A in food", "vitamin in food", "names"),
    ('say "yes" to it', "say yes to it", "quotes"),
    ("the news today", "the new today", "content"),
    ("how to learn C", "how to learn C++", "content"),
    ("다크 모드를 켜는 방법", "다크 모드를 끄는 방법", "directions"),
    ("볼륨을 올리는 방법", "볼륨을 내리는 방법", "directions"),
    ("알림 활성화 방법", "알림 비활성화 방법", "negations"),
    ("18세 이상 가입", "18세 이하 가입", "content"),
    ("환불 되나요", "환불 안 되나요", "negations"),
    ("취소할 수 있나요", "취소할 수 없나요", "negations"),
    ("할인 가능해?", "할인 불가능해?", "negations"),
    ("고기를 먹어", "고기를 먹지 마세요", "negations"),
    ("커피 말고 차", "커피 차", "negations"),
    ("철수가 영희를 좋아해?", "철수를 영희가 좋아해?", "roles"),
    ("서울에서 부산", "서울까지 부산", "roles"),
    ("비밀번호를 바꿨나요", "비밀번호를 바꾸나요", "marks"),
    ("약을 먹어야 하나요", "약을 먹어도 되나요", "content"),
    ("3월 5일 예약", "5월 3일 예약", "numbers"),
    ("서울의 수도", "부산의 수도", "content"),
    ("언제 열어요?", "어디 열어요?", "asks"),
    ("กา", "ขา", "content"),
    ("天気は", "元気は", "content"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_paraphrases_agree_and_are_near(one, other):
    assert disagreement(facts(one), facts(other)) == ""
    assert cosine(vector(one), vector(other)) >= THRESHOLD


@pytest.mark.parametrize(("one", "other", "where"), OTHER)
def test_what_is_another_question_disagrees(one, other, where):
    assert disagreement(facts(one), facts(other)) != ""
    assert where in [
        name
        for name in facts(one).__struct_fields__
        if getattr(facts(one), name) != getattr(facts(other), name)
    ]


def test_opposites_are_nearer_than_paraphrases_so_that_nearness_cannot_decide():
    asked = vector("turn on dark mode")
    assert cosine(asked, vector("turn off dark mode")) > cosine(asked, vector("enable dark mode"))


SMALL = ["order", "ship", "farm", "price", "tomato", "Seoul", "how", "when", "before", "my", "the"]
KOREAN = ["서울", "배송", "주문을", "농장이", "언제", "가격은", "토마토"]
NEGATIONS = ["not", "never", "no", "without", "don't", "안", "못", "않는", "없는", "아니라", "말고"]
words = st.lists(st.sampled_from(SMALL + KOREAN), min_size=1, max_size=6)


@given(words, st.data(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_text_is_matched_with_one_of_another_number(said, data, one, other):
    at = data.draw(st.integers(0, len(said)))
    with_one = " ".join([*said[:at], str(one), *said[at:]])
    with_other = " ".join([*said[:at], str(other), *said[at:]])
    assert (disagreement(facts(with_one), facts(with_other)) == "") == (one == other)
    assert disagreement(facts(with_one), facts(" ".join(said)))


@given(words, st.data(), st.sampled_from(NEGATIONS))
def test_no_text_is_matched_with_its_negation(said, data, negation):
    at = data.draw(st.integers(0, len(said)))
    negated = " ".join([*said[:at], negation, *said[at:]])
    assert disagreement(facts(negated), facts(" ".join(said)))


@given(st.text(max_size=60))
def test_every_text_agrees_with_itself(text):
    assert disagreement(facts(text), facts(text)) == ""


letters = st.text(st.characters(categories=["Lo"]), min_size=1, max_size=8)


@given(letters, letters)
def test_in_a_script_without_rules_only_the_same_text_agrees(one, other):
    ruled = any("가" <= sign <= "힣" or sign.isascii() for sign in folded(one + other))
    if not ruled and disagreement(facts(one), facts(other)) == "":
        assert folded(one) == folded(other)


def asking(*contents, **body):
    messages = [
        {"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(contents)
    ]
    return {"model": "m", "messages": messages, **body}


def scope(body, tenant="t", template=""):
    return scope_and_question(body, tenant, template)[0]


def test_the_scope_is_everything_but_the_last_words():
    assert scope_and_question(asking("서울 날씨?"), "t", "")[1] == "서울 날씨?"
    assert scope(asking("a")) == scope(asking("b"))
    others = [
        scope(asking("a"), tenant="u"),
        scope(asking("a"), template="v2"),
        scope(asking("a", temperature=0.5)),
        scope(asking("a", top_p=0.5)),
        scope(asking("a", model="m2")),
        scope(asking("a", passages=[{"text": "글"}])),
        scope(asking("history", "reply", "a")),
        scope(
            {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]}
        ),
    ]
    assert len({scope(asking("a")), *others}) == 1 + len(others)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": None},
        {"messages": ["x"]},
        asking("a", "b"),
        asking(""),
        asking("가" * 3_000),
        asking([{"type": "image_url"}]),
        {"messages": [{"role": "tool", "content": "42"}]},
    ],
)
def test_what_no_near_request_may_answer(body):
    assert scope_and_question(body, "t", "") is None
