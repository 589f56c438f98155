"use strict";
// A chat with the server that this page comes from: tokens coloured by probability, the chain of an answer on a click.

const at = (id) => document.getElementById(id);
const chat = at("chat");
let messages = [];
let running = null;

function made(tag, text, kind) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (kind) one.className = kind;
  return one;
}

function headers() {
  const found = { "Content-Type": "application/json" };
  if (at("key").value) found.Authorization = `Bearer ${at("key").value}`;
  return found;
}

async function refusal(answer) {
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) at("key-field").hidden = false;
  const error = new Error((said.error && said.error.message) || `the server answers with status ${answer.status}`);
  error.field = said.error && said.error.param;
  return error;
}

async function showModels() {
  const answer = await fetch("v1/models", { headers: headers() });
  if (!answer.ok) throw await refusal(answer);
  at("model").replaceChildren(...(await answer.json()).data.map((one) => new Option(one.id, one.id)));
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (left + value).split("\n\n");
    left = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ") || part === "data: [DONE]") continue;
      const event = JSON.parse(part.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

async function ask(signal) {
  const body = {
    model: at("model").value, messages, stream: true, logprobs: true, top_logprobs: 5,
    temperature: Number(at("temperature").value), max_tokens: Number(at("longest").value),
    jaxuq: { confidence: true, chain: true },
  };
  const post = () => fetch("v1/chat/completions",
    { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
  let answer = await post();
  if (answer.ok) return answer;
  let error = await refusal(answer);
  if (error.field === "jaxuq" || error.field === "model") { // an ensemble, or a model that cannot say how sure it is
    delete body.jaxuq;
    answer = await post();
    if (answer.ok) return answer;
    error = await refusal(answer);
  }
  throw error;
}

function shade(probability) {
  return probability < 0.3 ? "p1" : probability < 0.5 ? "p2" : probability < 0.7 ? "p3" : probability < 0.9 ? "p4" : "";
}

const shown = (value) => (value >= 0.0005 || value === 0 ? value.toFixed(3) : value.toExponential(1));

class Answer {
  constructor() {
    this.box = chat.appendChild(made("article", undefined, "answer"));
    this.words = this.box.appendChild(made("div", undefined, "words"));
    this.below = this.box.appendChild(made("div"));
    this.decoder = new TextDecoder();
    this.tokens = [];
    this.text = "";
    this.chain = null; // as drawn
    this.toggle = null; // draws it or takes it away
    this.words.addEventListener("click", (event) => this.clicked(event.target));
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.clicked(event.target); }
    });
  }

  add(token) { // bytes, for a character may be divided among tokens
    const text = this.decoder.decode(new Uint8Array(token.bytes), { stream: true });
    const probability = Math.exp(token.logprob);
    const span = this.words.appendChild(made("span", text, `token ${shade(probability)}`));
    span.title = `probability ${shown(probability)}`;
    span.tabIndex = 0;
    span.setAttribute("role", "button");
    this.tokens.push({ ...token, probability, span });
  }

  clicked(target) {
    const token = this.tokens.find((one) => one.span === target);
    for (const one of this.tokens) one.span.classList.toggle("chosen", one === token);
    this.box.querySelector(".others")?.remove();
    if (token) {
      const table = this.below.appendChild(made("table", undefined, "others"));
      for (const other of token.top_logprobs) {
        const row = table.insertRow();
        row.insertCell().textContent = JSON.stringify(other.token).slice(1, -1).replaceAll(" ", "\u00a0");
        row.insertCell().textContent = shown(Math.exp(other.logprob));
      }
    }
    if (this.toggle && !this.chain) this.toggle();
    else this.draw();
  }

  // The tokens that the answer rests on, each joined to the one that attended most to it.
  draw() {
    this.words.querySelector("svg")?.remove();
    if (!this.chain) return;
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("class", "arcs");
    const frame = this.words.getBoundingClientRect();
    const top = (span) => {
      const box = span.getClientRects()[0] || span.getBoundingClientRect();
      return [box.left + box.width / 2 - frame.left, box.top - frame.top + 4];
    };
    const most = Math.max(...this.chain.map((link) => link.weight || 0), 1e-9);
    for (const link of this.chain) {
      const token = this.tokens[link.token], source = this.tokens[link.source];
      if (!token) continue;
      token.span.classList.add("link");
      token.span.classList.toggle("dropped", !link.kept);
      token.span.title = `probability ${shown(token.probability)}; attention ${shown(link.weight || 0)}, `
        + `similarity to the answer ${shown(link.similarity || 0)}${link.kept ? "" : ", left out of the chain"}`;
      if (!source || !link.kept || source === token) continue;
      const [x, y] = top(token.span), [u, v] = top(source.span);
      const rise = Math.min(y, v) - Math.min(28, 8 + Math.abs(u - x) / 8);
      const path = document.createElementNS(space, "path");
      path.setAttribute("d", `M ${x} ${y} C ${x} ${rise}, ${u} ${rise}, ${u} ${v}`);
      path.setAttribute("stroke-width", String(0.75 + (2 * (link.weight || 0)) / most));
      svg.appendChild(path);
    }
    this.words.appendChild(svg);
  }

  tell(said) {
    const lines = [];
    if (said.withheld) lines.push(["Withheld: ", `too uncertain for a promised risk of ${said.risk}.`]);
    if (said.confidence !== undefined && said.confidence !== null) {
      const [low, high] = said.interval;
      lines.push([`Right with probability ${said.confidence.toFixed(2)} `,
        `(${low.toFixed(2)} to ${high.toFixed(2)}, by ${said.measure} and ${said.labelled_answers} labelled answers)`]);
    }
    if (said.answer) lines.push(["Answer: ", said.answer]);
    else if (said.why && !said.withheld) {
      lines.push(["No final answer was found. ", "Ask for the reply to end with “The answer is …” to learn how sure it is."]);
    }
    for (const name of ["uqac_similarity", "answer_probability"]) {
      const value = said.measures && said.measures[name];
      if (value !== undefined && value !== null) lines.push([`${name.replaceAll("_", " ")}: `, shown(value)]);
    }
    if (said.weights) {
      const weights = Object.entries(said.weights).map(([name, weight]) => `${name} ${weight.toFixed(2)}`);
      lines.push(["Weights: ", weights.join(", ")]);
    }
    if (said.disagreement) {
      lines.push(["Disagreement: ", `${shown(said.disagreement.mutual_information)} nats a token`]);
    }
    for (const [name, value] of lines) {
      const line = this.below.appendChild(made("p", undefined, "said"));
      line.append(made("b", name), value);
    }
    if (said.chain && said.chain.length) {
      const button = made("button", "Show the chain", "chain");
      button.type = "button";
      this.toggle = () => {
        this.chain = this.chain ? null : said.chain;
        button.textContent = this.chain ? "Hide the chain" : "Show the chain";
        button.setAttribute("aria-pressed", String(Boolean(this.chain)));
        if (!this.chain) for (const one of this.tokens) one.span.classList.remove("link", "dropped");
        this.draw();
      };
      button.addEventListener("click", this.toggle);
      this.below.appendChild(button);
    }
  }
}

async function send() {
  const text = at("text").value.trim();
  if (!text) return;
  at("text").value = "";
  messages.push({ role: "user", content: text });
  chat.appendChild(made("div", text, "mine"));
  const answer = new Answer();
  answers.push(answer);
  running = new AbortController();
  at("send").textContent = "Stop";
  try {
    for await (const event of events(await ask(running.signal))) {
      for (const choice of event.choices) {
        answer.text += choice.delta.content || "";
        for (const token of (choice.logprobs && choice.logprobs.content) || []) answer.add(token);
        if (choice.jaxuq) answer.tell(choice.jaxuq);
      }
      chat.scrollTop = chat.scrollHeight;
    }
    messages.push({ role: "assistant", content: answer.text });
  } catch (error) {
    if (error.name === "AbortError") {
      messages.push({ role: "assistant", content: answer.text });
      answer.below.appendChild(made("p", "Stopped.", "said"));
    } else {
      messages.pop();
      answer.below.appendChild(made("p", error.message, "error"));
    }
  } finally {
    running = null;
    at("send").textContent = "Send";
    chat.scrollTop = chat.scrollHeight;
  }
}

const answers = [];
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else send();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); at("form").requestSubmit(); }
});
at("new").addEventListener("click", () => {
  if (running) running.abort();
  messages = [];
  answers.length = 0;
  chat.replaceChildren();
  at("text").focus();
});
function tryModels() {
  showModels().catch((error) => chat.appendChild(made("p", error.message, "error")));
}
at("key").addEventListener("change", () => { chat.replaceChildren(); tryModels(); });
addEventListener("resize", () => answers.forEach((one) => one.draw()));
tryModels();
