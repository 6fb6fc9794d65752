// The text beside its recording: segments, their words, which of them is being spoken.

import { timedWords } from "./align.js";
import { icon } from "./icons.js";
import { make } from "./dom.js";
import { clock } from "./words.js";

const DOUBTFUL = 0.5;
const STILL_MS = 4000; // after a person has scrolled, the text does not follow the sound

export class Transcript {
  /** `does` has play(from_s), edit(id, at), confirm(id): what a person may ask for. */
  constructor(list, words, does) {
    Object.assign(this, { list, words, does });
    this.segments = [];
    this.rows = new Map();
    this.confirmable = false;
    this.scrolledAt = -Infinity;
    for (const event of ["wheel", "touchmove"]) {
      addEventListener(event, () => (this.scrolledAt = performance.now()), { passive: true });
    }
    list.addEventListener("click", (event) => this.#click(event));
    list.addEventListener("dblclick", (event) => this.#doubleClick(event));
    list.addEventListener("focusin", (event) => {
      const row = event.target.closest(".segment");
      if (row) this.#makeCurrent(row.dataset.id);
    });
  }

  clear() {
    this.segments = [];
    this.rows.clear();
    this.list.replaceChildren();
    this.current = this.spoken = this.cursor = null;
  }

  /** Show these segments, in their order; rows that have not changed stay as they are. */
  set(segments) {
    const kept = new Map(this.segments.map((segment) => [segment.id, segment]));
    this.segments = segments;
    const rows = segments.map((segment) => {
      const before = kept.get(segment.id);
      const row = this.rows.get(segment.id);
      if (row && before.version === segment.version && before.confirmed === segment.confirmed) return row;
      return this.#draw(segment, row);
    });
    const ids = new Set(segments.map((segment) => segment.id));
    for (const [id, row] of this.rows) {
      if (!ids.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    rows.forEach((row, place) => {
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] ?? null);
    });
    if (!ids.has(this.current)) this.#makeCurrent(segments[0]?.id ?? null);
  }

  /** Put in one segment, new or changed. */
  put(segment) {
    const row = this.rows.get(segment.id);
    if (row) {
      const place = this.place(segment.id);
      if (this.segments[place].version > segment.version) return;
      this.segments[place] = segment;
      this.#draw(segment, row);
      return;
    }
    if (segment.start_s >= (this.segments.at(-1)?.start_s ?? 0)) { // as it comes while it is written
      this.segments.push(segment);
      this.list.append(this.#draw(segment));
      if (this.segments.length === 1) this.#makeCurrent(segment.id);
      return;
    }
    const segments = [...this.segments, segment].sort((a, b) => a.start_s - b.start_s);
    this.set(segments);
  }

  place(id) {
    return this.segments.findIndex((segment) => segment.id === id);
  }

  get(id) {
    return this.segments[this.place(id)];
  }

  row(id) {
    return this.rows.get(id);
  }

  #draw(segment, row) {
    if (!row) {
      row = make("li", { class: "segment", tabindex: -1 });
      this.rows.set(segment.id, row);
    }
    row.dataset.id = segment.id;
    row.timed = timedWords(segment);
    row.classList.toggle("confirmed", Boolean(segment.confirmed));
    if (row.classList.contains("editing")) return row;
    const text = make("p", { class: "text" });
    row.timed.forEach((word, number) => {
      const unsure = !segment.confirmed && word.probability !== null && word.probability < DOUBTFUL;
      text.append(number ? " " : "", make("span", {
        class: unsure ? "word unsure" : "word", "data-n": number,
        title: unsure && this.words.say("unsure_word", { percent: Math.round(100 * word.probability) }),
      }, word.text));
    });
    if (this.confirmable && segment.unfit && segment.unfit !== "empty" && (segment.confirmed || segment.text !== segment.written)) {
      text.append(make("span", { class: "hint unfit" }, this.words.say(`unfit_${segment.unfit}`)));
    }
    const reach = segment.id === this.current ? 0 : -1;
    row.tabIndex = reach;
    row.replaceChildren(
      make("button", { class: "at", type: "button", tabindex: reach,
        "aria-label": this.words.say("play_from", { time: clock(segment.start_s) }) }, clock(segment.start_s)),
      text,
      make("div", { class: "acts" }, this.confirmable && this.#act("confirm", "check", reach, segment), this.#act("edit", "edit", reach)));
    return row;
  }

  #act(name, drawing, reach, segment) {
    const right = segment?.confirmed;
    const label = this.words.say(right ? "confirmed" : name);
    return make("button", { type: "button", class: `quiet round${right ? " right" : ""}`, "data-act": name,
      tabindex: reach, "aria-label": label, title: label, "aria-pressed": segment && String(Boolean(right)) }, icon(drawing));
  }

  /** Show one again, as it is now. */
  drawAgain(id) {
    const segment = this.get(id);
    if (segment) this.#draw(segment, this.rows.get(id));
  }

  /** Show all again, in other words or with other buttons. */
  redraw() {
    for (const segment of this.segments) this.#draw(segment, this.rows.get(segment.id));
  }

  // What a person points at

  #click(event) {
    const row = event.target.closest(".segment");
    if (!row || row.classList.contains("editing")) return;
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act) return this.does[act](row.dataset.id);
    const word = event.target.closest(".word");
    if (event.target.closest(".at")) this.does.play(this.get(row.dataset.id).start_s);
    else if (word && getSelection().isCollapsed) {
      this.#makeCurrent(row.dataset.id);
      this.does.play(row.timed[word.dataset.n].start_s);
    }
  }

  #doubleClick(event) {
    const row = event.target.closest(".segment");
    if (!row || !event.target.closest(".text") || row.classList.contains("editing")) return;
    const word = event.target.closest(".word");
    getSelection().removeAllRanges();
    this.does.edit(row.dataset.id, word ? this.offset(row, Number(word.dataset.n)) : undefined);
  }

  /** Where word `n` of a row ends, in characters of its text. */
  offset(row, n) {
    return row.timed.slice(0, n + 1).reduce((at, word) => at + word.text.length + 1, -1);
  }

  #makeCurrent(id) {
    if (id === this.current) return;
    this.#reach(this.rows.get(this.current), -1);
    this.current = id;
    this.#reach(this.rows.get(id), 0);
    this.point(null);
  }

  #reach(row, tabindex) {
    if (!row) return;
    row.tabIndex = tabindex;
    for (const button of row.querySelectorAll("button")) button.tabIndex = tabindex;
  }

  /** Go to a segment, so that the keyboard acts on it. */
  go(id) {
    const row = this.rows.get(id);
    if (!row) return;
    this.#makeCurrent(id);
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  /** Point the keyboard's cursor at word `n` of the current segment; null for none. */
  point(n) {
    this.cursor?.classList.remove("cursor");
    const word = n === null ? null : this.rows.get(this.current)?.querySelectorAll(".word")[n];
    this.cursor = word ?? null;
    this.cursor?.classList.add("cursor");
  }

  /** The second that the cursor is at, or that the current segment begins at. */
  get cursorTime() {
    const row = this.rows.get(this.current);
    if (!row) return 0;
    return this.cursor ? row.timed[this.cursor.dataset.n].start_s : this.get(this.current).start_s;
  }

  /** Doubtful words from the current place on, then from the beginning. */
  nextUnsure() {
    const all = [...this.list.querySelectorAll(".word.unsure")];
    if (!all.length) return;
    const from = this.cursor ?? this.rows.get(this.current);
    const next = all.find((word) => from && word !== from && from.compareDocumentPosition(word) & Node.DOCUMENT_POSITION_FOLLOWING) ?? all[0];
    const row = next.closest(".segment");
    this.go(row.dataset.id);
    this.point(Number(next.dataset.n));
    next.scrollIntoView({ block: "center" });
    this.does.play(row.timed[next.dataset.n].start_s);
  }

  get unsureCount() {
    return this.list.querySelectorAll(".word.unsure").length;
  }

  // What is being spoken

  /** Mark the word that is spoken at `time_s`; bring it into view while it plays. */
  mark(time_s, playing) {
    const segment = this.#at(time_s);
    const row = segment && this.rows.get(segment.id);
    if (row !== this.nowRow) {
      this.nowRow?.classList.remove("now");
      row?.classList.add("now");
      this.nowRow = row;
      if (row && playing && performance.now() - this.scrolledAt > STILL_MS && !row.contains(document.activeElement)) {
        row.scrollIntoView({ block: "nearest", behavior: "smooth" });
      }
    }
    const n = row && (playing || time_s > 0) ? row.timed.findLastIndex((word) => word.start_s <= time_s + 0.02) : -1;
    const word = n >= 0 && time_s <= row.timed[n].end_s + 0.4 ? row.querySelector(`.word[data-n="${n}"]`) : null;
    if (word !== this.spoken) {
      this.spoken?.classList.remove("spoken");
      word?.classList.add("spoken");
      this.spoken = word;
    }
  }

  /** The segment that sounds at `time_s`: the last that has begun, if it has not ended long ago. */
  #at(time_s) {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.segments[middle].start_s <= time_s + 0.02) low = middle + 1;
      else high = middle;
    }
    const found = this.segments[low - 1];
    return found && time_s <= found.end_s + 0.4 ? found : null;
  }
}
