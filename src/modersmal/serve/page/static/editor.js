// Changing the text of one segment where it stands.

import { make } from "./dom.js";

export class Editor {
  /**
   * `does` has save(id, text), split(id, at, text), merge(id, text), mergeBefore(id, text),
   * hear(id), done(id): what is made of the change.
   */
  constructor(transcript, words, does) {
    Object.assign(this, { transcript, words, does });
    this.id = null;
  }

  get editing() {
    return this.id !== null;
  }

  /** Open a segment, with the cursor at character `at` (its end unless given). */
  open(id, at) {
    if (this.id === id) return;
    this.close();
    const segment = this.transcript.get(id);
    const row = this.transcript.row(id);
    if (!segment) return;
    this.id = id;
    this.before = segment.text;
    this.field = make("textarea", {
      rows: 1, spellcheck: "true", "aria-label": this.words.say("text_of_segment"),
      oninput: () => this.#grow(), onkeydown: (event) => this.#key(event),
    });
    this.field.value = segment.text;
    const changed = segment.written !== undefined && segment.written !== segment.text;
    const tools = make("div", { class: "row" },
      this.#tool("hear_again", () => this.does.hear(id)),
      this.#tool("split_here", () => this.#split()),
      this.#tool("merge_next", () => this.#leave((text) => this.does.merge(id, text)), this.#isLast(id)),
      changed && this.#tool("restore", () => this.#put(segment.written)),
      this.#tool("done", () => this.close(), false, "primary"));
    const was = changed && make("p", { class: "was" }, this.words.say("was_written", { text: segment.written }));
    const box = make("div", { class: "edit", onfocusout: (event) => this.#left(event) }, this.field, was, tools);
    row.classList.add("editing");
    row.querySelector(".text").replaceWith(box);
    row.querySelector(".acts").hidden = true;
    this.#grow();
    this.field.focus({ preventScroll: true });
    const place = at ?? segment.text.length;
    this.field.setSelectionRange(place, place);
    row.scrollIntoView({ block: "nearest" });
  }

  #tool(key, press, disabled = false, kind = "quiet") {
    return make("button", { type: "button", class: kind, disabled, onpointerdown: (event) => event.preventDefault(), onclick: press },
      this.words.say(key));
  }

  #isLast(id) {
    return this.transcript.place(id) === this.transcript.segments.length - 1;
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight + 2}px`;
  }

  #put(text) {
    this.field.value = text;
    this.#grow();
    this.field.focus();
  }

  #key(event) {
    const { selectionStart: from, selectionEnd: to, value } = this.field;
    const alone = from === to && !event.isComposing;
    const does = {
      Escape: () => { this.field.value = this.before; this.close(); this.transcript.go(this.transcript.current); },
      Enter: () => this.#enter(event, from, value),
      Backspace: alone && from === 0 && this.transcript.place(this.id) > 0 && (() => this.#leave((text, id) => this.does.mergeBefore(id, text))),
      Delete: alone && from === value.length && !this.#isLast(this.id) && (() => this.#leave((text, id) => this.does.merge(id, text))),
    }[event.key];
    if (!does || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  #enter(event, from, value) {
    const id = this.id;
    if (event.altKey) this.does.hear(id);
    else if (event.ctrlKey || event.metaKey || from >= value.trimEnd().length || from === 0) {
      this.close();
      this.does.done(id);
    } else this.#split();
  }

  #split() {
    const at = this.field.selectionStart;
    if (at > 0 && at < this.field.value.trimEnd().length) this.#leave((text, id) => this.does.split(id, at, text));
    else this.field.focus();
  }

  #left(event) {
    const inside = event.relatedTarget && event.currentTarget.contains(event.relatedTarget);
    if (!inside && document.hasFocus()) this.close();
  }

  /** End, and let `then` make something of the text. */
  #leave(then) {
    const { id } = this;
    const text = this.field.value;
    this.#end();
    then(text, id);
  }

  /** End, and save what was changed. */
  close() {
    if (!this.editing) return;
    this.#leave((text, id) => text !== this.before && this.does.save(id, text));
  }

  #end() {
    const id = this.id;
    const row = this.transcript.row(id);
    this.id = null;
    if (!row) return;
    const held = row.contains(document.activeElement);
    row.classList.remove("editing");
    this.transcript.drawAgain(id);
    if (held) row.focus({ preventScroll: true });
  }
}
