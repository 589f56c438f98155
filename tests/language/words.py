"""A tokenizer of words with a chat template, small enough to read its tokens."""

import functools

_TEXT = "<unk> <s> <end> user assistant system : what is a b c d e f g one two three red green blue yes no"
WORDS = _TEXT.split()
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


@functools.cache
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="<end>")
    made.chat_template = TEMPLATE
    return made


def text_of(tokens):
    return " ".join(WORDS[token] for token in tokens)
