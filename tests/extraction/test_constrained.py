"""Extraction kept to a form: a model that has learnt nothing writes tables of the text's words."""

import pytest

from jaxuq.extraction import ChatSettings, Plan, Request, TableForm, extract, local_chat, make_passages, make_schema
from jaxuq.extraction.conversations import plan_conversations
from jaxuq.serving import LocalBackend, Patience, make_app, open_endpoint, serving
from tests.language.test_constraints import bytewise  # noqa: F401

pytest.importorskip("llguidance")
TEXT = "Ada met Bo"
SETTINGS = ChatSettings(temperature=1.0, max_tokens=90, seed=2, log_probs=True)


def test_only_the_last_reply_is_kept_and_only_where_it_is_a_table_alone():
    schema = make_schema(["person", "place"])
    passages = make_passages([TEXT], schema)
    for plan, kept in ((Plan(), False), (Plan(constrained=True), True), (Plan("aeio", constrained=True), True),
                       (Plan("one_step", clean_up=False, constrained=True), False),
                       (Plan("one_step", reasoning=False, clean_up=False, constrained=True), True)):  # fmt: skip
        forms = [one.form for one in plan_conversations(passages, schema, plan)]
        assert all((form is not None) == kept for form in forms), plan
    (both,) = plan_conversations(passages, schema, Plan("aeio", constrained=True))
    assert both.form == TableForm(("Entity", "Entity Type"), TEXT, (("Entity Type", ("Person", "Place")),))


@pytest.mark.long
def test_what_is_found_is_in_the_text_letter_by_letter(bytewise):  # noqa: F811
    schema = make_schema(["person"])
    passages = make_passages([TEXT, "Cy saw"], schema)
    short = {"entity": {"ask": "$text", "organise": "u", "clean_up": "u"}, "shared": {"system": "", "paragraph": "u",
             "reasoning": "", "same_words": ""}}  # fmt: skip
    plan = Plan("gno", reasoning=False, clean_up=False, constrained=True)
    model = local_chat(bytewise, SETTINGS, batch_size=2)
    found, conversations = extract(model, passages, schema, plan, prompts=short)
    assert [one.reply.text.startswith("| Person |\n| --- |\n| ") for one in conversations] == [True, True]
    for one in found:
        assert one.statuses == {"person": "found" if one.spans else "nothing"}
        assert all(0 < span.confidence <= 1 for span in one.spans)
    assert any(one.spans for one in found)


@pytest.mark.long
def test_a_server_of_jaxuq_keeps_the_same_form(bytewise):  # noqa: F811
    form = TableForm(("Entity", "Entity Type"), TEXT, (("Entity Type", ("Person", "Place")),))
    request = Request(({"role": "user", "content": "u"},), form=form)
    here = local_chat(bytewise, SETTINGS).ask([request])[0]
    with serving(make_app(LocalBackend(bytewise, slots=2, most_tokens=2048))) as url:
        there = open_endpoint(url, "bytes", SETTINGS, patience=Patience(attempts=1)).ask([request])[0]
    assert there.error == "" and there.text == here.text and "| Entity | Entity Type |" in there.text
    assert there.log_probs == pytest.approx(here.log_probs[: len(there.log_probs)], abs=1e-3)
