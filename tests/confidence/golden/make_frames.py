"""Make the golden files of uqlm: `to_df()` of its scorers, as pandas writes it.

    PYTHONHASHSEED=0 python tests/confidence/golden/make_frames.py    # uqlm takes the order of columns from a set

Needs uqlm 0.6.7 (Apache-2.0) with pandas 2.3.3 and pyarrow. The chat model is none: what it says, and with which
log-probabilities, is a table here. Only scorers that load no model are asked, and semantic entropy, whose judge of
entailment is a comparison of the last words.
"""

import asyncio
import functools
import math
import pathlib

SAID = {  # the answer to a question, and three further ones, with log-probabilities of their tokens
    "[Geography] Capital of France?": (
        (("Par", -0.05), ("is", -0.01)),
        (("Par", -0.05), ("is", -0.01)),
        (("Paris", -0.25),),
        (("Ly", -2.5), ("on", -0.5)),
    ),
    "Capital of Peru?": (
        (("Lim", -0.75), ("a", -0.125)),
        (("Cus", -1.5), ("co", -0.25)),
        (("Lim", -0.75), ("a", -0.125)),
        (("Quito", -2.0),),
    ),
    'Who wrote "Emma", and "Persuasion"?': (
        (("Jane", -0.5), (" Austen", -0.0625)),
        (("Austen", -1.0),),
        (("Jane", -0.5), (" Austen", -0.0625)),
        (("Jane", -0.5), (" Eyre", -3.0)),
    ),
    "Capital of Australia?": (
        (("Sydney", -0.375),),
        (("Canberra", -1.25),),
        (("Canberra", -1.25),),
        (("Sydney", -0.375),),
    ),
}
TRUTHS = ("Paris", "Lima", "Jane Austen", "Canberra")


def answer(question: str, place: int) -> list[dict]:
    """What is said to a question for the how-manieth time, from 0, token by token, as the OpenAI protocol has it."""
    told = []
    for piece, value in SAID[question][place]:
        rest = math.log1p(-math.exp(value)) - 0.25
        top = [{"token": piece, "bytes": list(piece.encode()), "logprob": value},
               {"token": "~", "bytes": [126], "logprob": rest}]  # fmt: skip
        told.append({"token": piece, "bytes": list(piece.encode()), "logprob": value, "top_logprobs": top})
    return told


@functools.cache
def model_class():
    """A chat model of langchain that says what the table says."""
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Table(BaseChatModel):
        temperature: float = 1.0
        logprobs: bool = True
        silent: bool = False
        asked: dict[str, int] = {}  # noqa: RUF012

        @property
        def _llm_type(self):
            return "table"

        def _generate(self, messages, stop=None, run_manager=None, **more):
            question = messages[-1].content
            place = self.asked.get(question, 0)
            self.asked[question] = place + 1
            told = answer(question, place % 4)
            text = "".join(one["token"] for one in told)
            metadata = {} if self.silent and question == "Capital of Peru?" else {"logprobs": {"content": told}}
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text, response_metadata=metadata))])

        async def _agenerate(self, messages, stop=None, run_manager=None, **more):
            return self._generate(messages)

    return Table


def frames():
    """Data frames of uqlm's scorers, by name."""
    from langchain_core.messages import HumanMessage
    from uqlm import BlackBoxUQ, SemanticEntropy, WhiteBoxUQ

    class SameEnd:
        """Entails where the last letters are the same."""

        def get_nli_results_batch(self, response_pairs):
            same = [one[-3:] == other[-3:] for one, other in response_pairs]
            return [{"noncontradiction_score": float(one), "entailment": one, "entailment_score": float(one)}
                    for one in same]  # fmt: skip

    def asked(made, questions=tuple(SAID), **more):
        result = made.generate_and_score(prompts=list(questions), show_progress_bars=False, **more)
        return asyncio.run(result).to_df()

    table = model_class()
    three = {"num_responses": 3}
    scorers = ["sequence_probability", "min_probability", "probability_margin", "monte_carlo_probability"]
    several = [[HumanMessage(one)] for one in SAID]
    found = {
        "black_box": asked(BlackBoxUQ(llm=table(), scorers=["exact_match"]), **three),
        "shortened": asked(BlackBoxUQ(llm=table(), scorers=["exact_match"], postprocessor=str.upper), **three),
        "messages": asked(BlackBoxUQ(llm=table(), scorers=["exact_match"]), several, **three),
        "white_box": asked(WhiteBoxUQ(llm=table(), scorers=scorers, top_k_logprobs=2), **three),
        "one_answer": asked(WhiteBoxUQ(llm=table())),
        "silent": asked(WhiteBoxUQ(llm=table(silent=True))),
        "entropy": asked(SemanticEntropy(llm=table(), use_best=False, nli=SameEnd()), **three),
    }
    for frame in found.values():
        frame["answer"] = TRUTHS
    return found


def write(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The frames in the forms in which pandas writes them.

    Args:
        folder: to write into.

    Returns:
        The files, by their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = frames()
    for name, frame in made.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    white = made["white_box"]
    white.to_csv(folder / "numbered.csv")
    white.to_json(folder / "columns.json")
    white.to_json(folder / "records.json", orient="records")
    white.to_json(folder / "lines.jsonl", orient="records", lines=True)
    white.to_parquet(folder / "white_box.parquet")
    made["messages"].drop(columns="prompt").to_parquet(folder / "black_box.parquet")
    return {path.name: path for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    from importlib.metadata import version

    write(pathlib.Path(__file__).parent / f"uqlm-{version('uqlm')}")
