// Finding text in all segments, and replacing it.

const LETTER = /[\p{L}\p{N}_]/u;

/** Every place [segment's id, from, to] where `what` stands, in order. */
export function places(segments, what, { matchCase, wholeWords }) {
  if (!what) return [];
  const fold = (text) => (matchCase ? text : text.toLowerCase());
  const sought = fold(what);
  const found = [];
  for (const { id, text } of segments) {
    const inside = fold(text);
    for (let at = inside.indexOf(sought); at >= 0; at = inside.indexOf(sought, at + sought.length)) {
      const to = at + sought.length;
      const cut = LETTER.test(text[at - 1] ?? "") || LETTER.test(text[to] ?? "");
      if (!wholeWords || !cut) found.push([id, at, to]);
    }
  }
  return found;
}

export class Find {
  /** `does` has show(id), replaceOne(id, text), replaceAll(form). */
  constructor(part, words, transcript, does) {
    Object.assign(this, { part, words, transcript, does });
    this.number = -1;
    part.findOpen.addEventListener("click", () => this.open());
    part.findClose.addEventListener("click", () => this.close());
    part.find.addEventListener("submit", (event) => {
      event.preventDefault();
      this.next();
    });
    part.find.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    for (const place of [part.findWhat, part.findCase, part.findWhole]) {
      place.addEventListener("input", () => {
        this.number = -1;
        this.refresh();
      });
    }
    part.findOne.addEventListener("click", () => this.#replaceOne());
    part.findAll.addEventListener("click", () => this.#replaceAll());
  }

  get options() {
    return { matchCase: this.part.findCase.checked, wholeWords: this.part.findWhole.checked };
  }

  open() {
    this.part.find.hidden = false;
    this.part.findWhat.focus();
    this.part.findWhat.select();
    this.refresh();
  }

  close() {
    this.part.find.hidden = true;
    this.refresh();
    this.part.findOpen.focus();
  }

  /** Look again; the text may have changed. */
  refresh() {
    const open = !this.part.find.hidden;
    this.found = open ? places(this.transcript.segments, this.part.findWhat.value, this.options) : [];
    if (this.number >= this.found.length) this.number = -1;
    this.part.findCount.textContent = open && this.part.findWhat.value ? this.#counted() : "";
    this.part.findOne.disabled = this.part.findAll.disabled = !this.found.length;
    this.#highlight();
  }

  #counted() {
    if (!this.found.length) return this.words.say("none_found");
    if (this.number < 0) return this.words.count("found", this.found.length);
    return this.words.say("found_at", { at: this.number + 1, n: this.found.length });
  }

  next() {
    this.refresh();
    if (!this.found.length) return;
    this.number = (this.number + 1) % this.found.length;
    this.refresh();
    this.does.show(this.found[this.number][0]);
  }

  #replaceOne() {
    this.refresh();
    if (this.number < 0) return this.next();
    const [id, from, to] = this.found[this.number];
    const { text } = this.transcript.get(id);
    const becomes = this.part.findWith.value;
    this.number--;
    this.does.replaceOne(id, text.slice(0, from) + becomes + text.slice(to)).then(() => this.next());
  }

  #replaceAll() {
    const { matchCase, wholeWords } = this.options;
    const form = { find: this.part.findWhat.value, replace: this.part.findWith.value, match_case: matchCase, whole_words: wholeWords };
    const n = this.found.length;
    this.does.replaceAll(form).then((done) => {
      if (!done) return;
      this.number = -1;
      this.refresh();
      this.part.findCount.textContent = this.words.count("replaced", n);
    });
  }

  /** Colour what was found, without changing the text's elements. */
  #highlight() {
    if (!window.Highlight) return;
    const ranges = this.found.map(([id, from, to]) => range(this.transcript.row(id).querySelector(".text"), from, to));
    CSS.highlights.set("found", new Highlight(...ranges.filter(Boolean)));
  }
}

/** The characters from `from` to `to` of an element's text; null where it is being edited. */
function range(element, from, to) {
  if (!element) return null;
  const made = document.createRange();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let at = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const end = at + node.length;
    if (from >= at && from < end) made.setStart(node, from - at);
    if (to > at && to <= end) {
      made.setEnd(node, to - at);
      return made;
    }
    at = end;
  }
  return null;
}
