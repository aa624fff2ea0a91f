/**
 * @file The live page: what the model thinks of a session now, and the two minutes that led there.
 *
 * The address says which session: `#session=ID&key=OWNER_KEY`, and `&model=NAME` where several are served. The part after # stays in the browser.
 */
import type { ModelFacts, SessionEvent, SessionView, StepEvent, WirePrediction } from "../src/protocol/index.js";
import { Card } from "./card.js";
import { classColor, heatColors } from "./color.js";
import { Connection, type Status } from "./connection.js";
import { History, predictionOf } from "./history.js";
import { drawBand, drawHeat } from "./strip.js";

const MAX_CARDS = 24;
const MAX_OUTLOOKS = 8;
/** Measured values before the forecast, in horizons. */
const OUTLOOK_HORIZONS = 2;
const TOUCH_MS = 5000;

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const darkness = window.matchMedia("(prefers-color-scheme: dark)");

class LivePage {
  readonly #connection: Connection;
  #history = new History();
  #model: ModelFacts | undefined;
  #session: SessionView | undefined;
  #steps = 0;
  #resets = 0;
  #cards: { column: string; card: Card }[] = [];
  #outlooks: { target: string; card: Card }[] = [];
  /** The instant looked at, as a fraction of the span; undefined is now. */
  #looking: number | undefined;
  #drawing = false;
  #touch: ReturnType<typeof setTimeout> | undefined;
  readonly #listening = new AbortController();

  constructor(at: { session: string; model: string | null }, key: string) {
    this.#connection = new Connection(at, key, {
      opened: (facts, model) => this.#opened(facts, model),
      event: (event) => this.#event(event),
      status: (status) => this.#status(status),
    });
    this.#listen();
    void this.#connection.run();
  }

  stop(): void {
    this.#connection.stop();
    this.#listening.abort();
  }

  #opened(session: SessionView, model: ModelFacts): void {
    const before = this.#session;
    if (before && (before.createdAt !== session.createdAt || before.model !== session.model))
      this.#history.mark("new session", this.#history.end);
    if (!this.#model || this.#model.version !== model.version) this.#lay(model);
    this.#model = model;
    this.#session = session;
    this.#steps = session.steps;
    this.#resets = session.resets;
    document.title = `${session.session} · Ostinato`;
    this.#draw();
  }

  /** One card per raw column, and per target of a forecast. */
  #lay(model: ModelFacts): void {
    if (this.#model) this.#history = new History();
    const columns = model.columns.filter((column) => column !== model.time);
    this.#cards = columns.slice(0, MAX_CARDS).map((column) => ({ column, card: new Card(column, { hoverable: true }) }));
    element("inputs").replaceChildren(...this.#cards.map(({ card }) => card.element));
    element("more").hidden = columns.length <= MAX_CARDS;
    element("more").textContent = `and ${columns.length - MAX_CARDS} more columns`;
    const forecasts = model.task === "forecast";
    element("band-section").hidden = forecasts;
    element("outlook-section").hidden = !forecasts;
    this.#outlooks = (forecasts ? model.targets : [])
      .slice(0, MAX_OUTLOOKS)
      .map((target) => ({ target, card: new Card(target, { hoverable: false }) }));
    element("outlook").replaceChildren(...this.#outlooks.map(({ card }) => card.element));
  }

  #event(event: SessionEvent): void {
    this.#steps = event.steps;
    if (event.kind === "step") {
      this.#history.add(event);
    } else {
      this.#resets = event.resets;
      if (event.kind === "reset" || event.kind === "restored") this.#history.mark(event.kind, event.at);
    }
    this.#draw();
  }

  #status(status: Status): void {
    const line = element("status");
    line.className = status.kind === "live" ? "live" : status.kind === "connecting" ? "" : "dead";
    line.textContent =
      status.kind === "dead"
        ? `no answer since ${new Date(status.since).toLocaleTimeString()} · trying again`
        : status.kind === "refused"
          ? `${status.what} · trying again`
          : status.kind;
    element<HTMLButtonElement>("reset").disabled = status.kind !== "live";
  }

  #listen(): void {
    const { signal } = this.#listening;
    const panes = element("panes");
    element("reset").addEventListener(
      "click",
      () => this.#connection.reset().catch((error: Error) => this.#status({ kind: "refused", what: error.message })),
      { signal },
    );
    panes.addEventListener(
      "pointermove",
      (event) => {
        const pane = (event.target as Element).closest("#inputs .plot, .pane");
        if (!pane) return this.#look(undefined);
        const { left, width } = pane.getBoundingClientRect();
        this.#look(Math.min(1, Math.max(0, (event.clientX - left) / width)));
        clearTimeout(this.#touch);
        if (event.pointerType !== "mouse") this.#touch = setTimeout(() => this.#look(undefined), TOUCH_MS);
      },
      { signal },
    );
    panes.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#look(undefined), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    window.addEventListener("resize", () => this.#draw(), { signal });
    window.addEventListener("online", () => this.#connection.retryNow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#connection.retryNow(), { signal });
    darkness.addEventListener("change", () => this.#draw(), { signal });
  }

  #key(event: KeyboardEvent): void {
    const { steps } = this.#history;
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    const shown = this.#history.at(this.#looking);
    if (event.key === "Escape") this.#look(undefined);
    if (by === undefined || !shown) return;
    event.preventDefault();
    const index = Math.max(0, steps.indexOf(shown) + by);
    this.#look(index >= steps.length - 1 ? undefined : this.#history.fraction(steps[index]));
  }

  #look(fraction: number | undefined): void {
    this.#looking = fraction;
    this.#draw();
  }

  /** However many events arrive, the page is drawn once a frame. */
  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#paint();
    });
  }

  #paint(): void {
    const model = this.#model;
    if (!model) return;
    const step = this.#history.at(this.#looking);
    document.documentElement.style.setProperty(
      "--cursor",
      String(this.#looking === undefined || !step ? 2 : this.#history.fraction(step)),
    );
    this.#paintThought(model, step);
    this.#paintInputs(step);
    if (model.task === "forecast") this.#paintOutlook(model, step);
    else drawBand(element<HTMLCanvasElement>("band"), this.#history, model.classes);
    const scale = drawHeat(element<HTMLCanvasElement>("heat"), this.#history, heatColors(darkness.matches));
    element("scale").textContent =
      `${step?.view.length ?? 0} units, newest right · blue ${number(-scale)}, orange +${number(scale)}`;
    this.#paintFacts(model);
  }

  #paintThought(model: ModelFacts, step: StepEvent | undefined): void {
    const seconds = step ? (this.#history.end - step.at) / 1000 : 0;
    element("when").textContent =
      this.#looking === undefined ? "now" : `${number(seconds)} s earlier · step ${step?.steps ?? "-"}`;
    const prediction = step && predictionOf(step);
    if (!prediction) {
      say("word", step ? "no prediction yet" : "waiting for steps");
      say("rest", "\u00a0");
    } else if (model.task === "forecast") {
      const [target, values] = Object.entries(prediction.forecast ?? {})[0] ?? ["-", []];
      say("word", number(values[0]), `${target}, next step`);
      say("rest", values.length > 1 ? `in ${values.length} steps ${number(values[values.length - 1])}` : "\u00a0");
    } else {
      say("word", prediction.label ?? "-", prediction.confidence === undefined ? undefined : prediction.confidence.toFixed(2));
      say("rest", runnersUp(prediction));
    }
    const legend = element("legend");
    if (model.task !== "forecast") {
      if (legend.childElementCount !== model.classes.length) legend.replaceChildren(...model.classes.map(legendEntry));
      model.classes.forEach((name, i) => {
        const probability = prediction?.probabilities?.[name];
        (legend.children[i].lastChild as Text).data = probability === undefined ? name : `${name} ${probability.toFixed(2)}`;
      });
    }
  }

  #paintInputs(step: StepEvent | undefined): void {
    const { steps, end, spanMs } = this.#history;
    const x: number[] = [];
    const shown: (StepEvent | undefined)[] = [];
    steps.forEach((each, i) => {
      if (this.#history.gapBefore(i)) {
        x.push((steps[i - 1].at + 1 - end) / 1000);
        shown.push(undefined);
      }
      x.push((each.at - end) / 1000);
      shown.push(each);
    });
    const color = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    for (const { column, card } of this.#cards) {
      const value = step?.record[column];
      card.value = typeof value === "number" ? number(value) : typeof value === "string" && value !== "" ? value : "–";
      card.draw(x, [{ values: shown.map((each) => numeric(each?.record[column])), color }], [-spanMs / 1000, 0]);
    }
  }

  #paintOutlook(model: ModelFacts, step: StepEvent | undefined): void {
    const { steps } = this.#history;
    const last = step ? steps.indexOf(step) : -1;
    const measured = Math.max(24, OUTLOOK_HORIZONS * model.horizon);
    const forecast = step && predictionOf(step)?.forecast;
    const color = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    const x = Array.from({ length: measured + model.horizon }, (_, i) => i - measured + 1);
    for (const { target, card } of this.#outlooks) {
      const past = x.map((offset) => (offset <= 0 ? numeric(steps[last + offset]?.record[target]) : null));
      const future = x.map((offset) =>
        offset === 0 ? past[measured - 1] : offset > 0 ? numeric(forecast?.[target]?.[offset - 1]) : null,
      );
      card.value = number(forecast?.[target]?.[0]);
      card.draw(
        x,
        [
          { values: past, color },
          { values: future, color: classColor(0), dashed: true },
        ],
        [x[0], x[x.length - 1]],
      );
    }
  }

  #paintFacts(model: ModelFacts): void {
    const [median, slow] = [this.#history.latencyMs(0.5), this.#history.latencyMs(0.99)];
    const facts: [string, string][] = [
      ["session", this.#session?.session ?? "-"],
      ["owner", this.#session?.owner ?? "-"],
      ["state", `${this.#steps.toLocaleString("en")} steps old`],
      ["resets", String(this.#resets)],
      ["latency p50", duration(median)],
      ["p99", duration(slow)],
      ["model", `${model.name} ${model.version.slice(0, 8)}`],
      ["engine", model.engine ?? "not named"],
    ];
    element("facts").replaceChildren(
      ...facts.map(([name, value]) => {
        const entry = document.createElement("span");
        const strong = document.createElement("b");
        strong.textContent = value;
        entry.append(`${name} `, strong);
        return entry;
      }),
    );
  }
}

/** Sets a text only when it changes, so that a screen reader hears changes only; `detail` is not read as part of the word. */
function say(id: string, text: string, detail?: string): void {
  const target = element(id);
  const first = target.firstChild;
  if (first instanceof Text && first.data !== text) first.data = text;
  else if (!(first instanceof Text)) target.prepend(text);
  let small = target.querySelector("small");
  if (detail === undefined) {
    small?.remove();
    return;
  }
  if (!small) {
    small = document.createElement("small");
    small.setAttribute("aria-live", "off");
    target.append(small);
  }
  small.textContent = ` ${detail}`;
}

function runnersUp({ label, probabilities = {} }: WirePrediction): string {
  const rest = Object.entries(probabilities)
    .filter(([name]) => name !== label)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 3);
  return rest.map(([name, probability]) => `${name} ${probability.toFixed(2)}`).join(", ") || "\u00a0";
}

function legendEntry(_name: string, index: number): HTMLElement {
  const entry = document.createElement("span");
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  square.setAttribute("width", "9");
  square.setAttribute("height", "9");
  square.setAttribute("fill", classColor(index));
  swatch.append(square);
  entry.append(swatch, document.createTextNode(""));
  return entry;
}

function numeric(value: number | string | null | undefined): number | null {
  if (typeof value === "string" && value.trim() !== "") value = Number(value);
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Three significant digits, without an exponent where it can be read. */
function number(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return size >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

function duration(ms: number | undefined): string {
  if (ms === undefined) return "–";
  return ms < 1 ? `${number(ms * 1000)} µs` : `${number(ms)} ms`;
}

let page: LivePage | undefined;

function start(): void {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const [session, key] = [wanted.get("session"), wanted.get("key")];
  page?.stop();
  page = undefined;
  element("open").hidden = Boolean(session && key);
  element("live").hidden = !(session && key);
  if (session && key) page = new LivePage({ session, model: wanted.get("model") }, key);
  else if (session) element("open").querySelector<HTMLInputElement>("[name=session]")!.value = session;
}

element<HTMLFormElement>("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new FormData(event.target as HTMLFormElement);
  const model = String(fields.get("model") ?? "");
  location.hash = new URLSearchParams({
    session: String(fields.get("session")),
    key: String(fields.get("key")),
    ...(model === "" ? {} : { model }),
  }).toString();
});
window.addEventListener("hashchange", start);
start();
