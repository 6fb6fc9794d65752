// One job: how far it is, its text, and what a person does with it.

import { ask, copy, make, tell } from "./dom.js";
import { Editor } from "./editor.js";
import { Find } from "./find.js";
import { listenForKeys, showKeys } from "./keys.js";
import { Player } from "./player.js";
import { UNDER_WAY } from "./recent.js";
import { Saving } from "./saving.js";
import { Transcript } from "./transcript.js";

const STAY_MS = 600_000; // a protected job is erased an hour after it was looked at last
const FORMATS = ["txt", "docx", "srt", "vtt", "json"];

export class Job {
  /** `gone` is called when the job is no longer there; `changed` with what is known of it. */
  constructor(part, words, api, { gone, changed, consent }) {
    Object.assign(this, { part, words, api, gone, changed, consent });
    this.transcript = new Transcript(part.segments, words, {
      play: (from_s) => this.player.play(from_s),
      edit: (id, at) => this.edit(id, at),
      confirm: (id) => this.confirm(id),
    });
    this.player = new Player(part, words, (time_s, playing) => this.transcript.mark(time_s, playing));
    this.saving = new Saving(part.saved, words, api);
    this.editor = new Editor(this.transcript, words, this.#edits());
    this.find = new Find(part, words, this.transcript, {
      show: (id) => this.transcript.row(id).scrollIntoView({ block: "center" }),
      replaceOne: (id, text) => this.#save(id, text),
      replaceAll: (form) => this.#replaceAll(form),
    });
    listenForKeys(part.segments, this.transcript, {
      edit: (id, at) => this.edit(id, at), confirm: (id) => this.confirm(id), playHere: () => this.#playHere(),
      merge: (id) => this.#merge(id), find: () => this.find.open(), help: () => showKeys(part.dialog, words),
    });
    part.copy.addEventListener("click", () => this.#copy(this.#text(), "copied"));
    part.copyLink.addEventListener("click", () => this.#copy(location.href, "link_copied"));
    part.shortcuts.addEventListener("click", () => showKeys(part.dialog, words));
    part.erase.addEventListener("click", () => this.erase(this.token, this.job.title));
    part.cancel.addEventListener("click", () => this.#cancel());
    part.nextUnsure.addEventListener("click", () => this.transcript.nextUnsure());
    part.unsure.addEventListener("click", () => this.#toggleUnsure());
  }

  /** Show the job with this token. */
  async open(token) {
    this.close();
    this.token = token;
    this.saving.begin(token);
    const job = await this.#look(token);
    if (!job || this.token !== token) return;
    this.job = job;
    this.transcript.set(job.segments);
    this.#show();
    this.part.title.focus({ preventScroll: true });
    if (UNDER_WAY.has(job.state)) this.#follow();
    if (job.protected) this.staying = setInterval(() => this.#look(token), STAY_MS);
  }

  /** Show what could not be shown while the server was silent. */
  openAgain() {
    if (this.token && !this.job) this.open(this.token);
  }

  #look(token) {
    return this.api.get(`jobs/${token}`).catch((error) => this.#failed(token, error));
  }

  close() {
    this.editor.close();
    this.unfollow?.();
    clearInterval(this.staying);
    this.unfollow = this.token = this.job = null;
    this.player.close();
    this.transcript.clear();
    this.part.find.hidden = true;
    for (const place of ["title", "facts"]) this.part[place].textContent = "";
    for (const place of ["working", "bar", "empty", "consent"]) this.part[place].hidden = true;
    tell(this.part.jobTrouble, "");
  }

  get done() {
    return !UNDER_WAY.has(this.job.state);
  }

  #failed(token, error) {
    if (error.status === 404) this.gone(token, this.words.say("gone"));
    else tell(this.part.jobTrouble, error.message);
  }

  #follow() {
    const { token } = this;
    this.unfollow = this.api.follow(`jobs/${token}/events`, {
      state: (state) => {
        Object.assign(this.job, state);
        this.#show();
      },
      segment: (segment) => {
        this.transcript.put(segment);
        cancelAnimationFrame(this.soon); // many may come at once
        this.soon = requestAnimationFrame(() => this.job && this.#showText());
      },
      end: () => this.reload(),
    });
  }

  async reload() {
    const { token } = this;
    const job = await this.#look(token);
    if (!job || this.token !== token) return;
    this.job = job;
    this.transcript.set(job.segments);
    this.#show();
    this.find.refresh();
  }

  // What is shown

  /** Show all again, in the words chosen now. */
  redraw() {
    if (!this.job) return;
    this.transcript.redraw();
    this.#show();
  }

  #show() {
    const { job, part, words } = this;
    this.changed(this.token, job);
    part.title.textContent = job.title;
    document.title = `${job.title} · modersmal`;
    part.facts.textContent = [
      job.duration_s && words.duration(job.duration_s),
      job.language && words.languageName(job.language),
      job.release,
      job.protected ? words.say("protected") : job.expires && words.say("erased_on", { date: words.date(job.expires) }),
    ].filter(Boolean).join(" · ");
    const going = UNDER_WAY.has(job.state);
    part.working.hidden = !going;
    if (going) this.#showProgress();
    tell(part.jobTrouble, job.state === "failed" ? words.say("job_failed", { why: job.error ?? "" }) : "");
    if (job.duration_s && job.state !== "waiting" && job.state !== "hearing" && !this.player.open_) {
      this.player.open(this.api.url(`jobs/${this.token}/audio`), job.duration_s);
    }
    this.#showDownloads();
    this.#showText();
    this.consent.show(this);
  }

  #showProgress() {
    const { job, part, words } = this;
    const stage = words.say(`state_${job.state}`);
    const left = job.left_s ? words.say("time_left", { time: words.duration(job.left_s) }) : "";
    part.stage.textContent = [stage, left].filter(Boolean).join(" · ");
    if (job.state === "writing" && job.duration_s) part.progress.value = job.reached_s / job.duration_s;
    else part.progress.removeAttribute("value");
  }

  #showText() {
    const { segments } = this.transcript;
    const { part, words, job } = this;
    part.bar.hidden = !segments.length;
    tell(part.empty, segments.length || job.state !== "done" ? "" : words.say("no_speech"));
    this.#showUnsure();
  }

  #showUnsure() {
    const count = this.transcript.unsureCount;
    this.part.unsure.textContent = this.words.count("unsure", count);
    this.part.nextUnsure.disabled = !count;
  }

  #toggleUnsure() {
    const on = this.part.unsure.getAttribute("aria-pressed") !== "true";
    this.part.unsure.setAttribute("aria-pressed", String(on));
    this.part.page.parentElement.classList.toggle("doubts", on);
  }

  #showDownloads() {
    this.part.downloads.replaceChildren(...FORMATS.map((format) => make("a",
      { href: this.api.url(`jobs/${this.token}/download?format=${format}`), download: true },
      this.words.say(`format_${format}`))));
  }

  // What a person does

  #edits() {
    return {
      save: (id, text) => this.#save(id, text),
      split: (id, at, text) => this.#split(id, at, text),
      merge: (id, text) => this.#merge(id, text),
      mergeBefore: (id, text) => this.#mergeBefore(id, text),
      hear: (id) => this.#hear(id),
      done: (id) => {
        const next = this.transcript.segments[this.transcript.place(id) + 1];
        if (next) this.edit(next.id, 0);
      },
    };
  }

  edit(id, at) {
    if (this.player.playing) this.player.toggle();
    this.editor.open(id, at);
  }

  #hear(id) {
    const { start_s, end_s } = this.transcript.get(id);
    this.player.play(start_s, end_s);
  }

  #playHere() {
    if (this.player.playing) this.player.toggle();
    else this.player.play(this.transcript.cursorTime);
  }

  async #save(id, text) {
    const tidy = text.split(/\s+/).filter(Boolean).join(" ");
    this.transcript.put({ ...this.transcript.get(id), text: tidy }); // shown at once
    try {
      const segment = await this.saving.change(id, "PATCH", "", () => ({ text: tidy, version: this.transcript.get(id).version }));
      this.#put(segment);
    } catch (error) {
      if (error.status === 409) await this.#conflict(id, tidy);
      else this.trouble(error);
    }
  }

  #put(segment) {
    this.transcript.put(segment);
    this.#showUnsure();
    this.find.refresh();
  }

  /** Another has changed the same segment: a person says which text stays. */
  async #conflict(id, ours) {
    await this.reload();
    const theirs = this.transcript.get(id);
    if (!theirs || theirs.text === ours) return;
    const { words } = this;
    const keep = await ask(this.part.dialog, make("form", { method: "dialog" },
      make("h2", {}, words.say("conflict")),
      make("p", {}, make("b", {}, words.say("theirs")), make("br"), theirs.text),
      make("p", {}, make("b", {}, words.say("yours")), make("br"), ours),
      make("div", { class: "row" },
        make("button", { class: "quiet", value: "theirs" }, words.say("keep_theirs")),
        make("button", { class: "primary", value: "ours" }, words.say("keep_yours")))));
    if (keep === "ours") await this.#save(id, ours);
  }

  /** Save what was typed, then change which segments there are, and look at them again. */
  async #reshape(id, text, path, body, then = id) {
    try {
      if (text !== undefined && text !== this.transcript.get(id).text) await this.#save(id, text);
      await this.saving.change(id, "POST", path, () => ({ ...body, version: this.transcript.get(id).version }));
    } catch (error) {
      this.trouble(error);
    }
    await this.reload();
    return then;
  }

  async #split(id, at, text) {
    await this.#reshape(id, text, "/split", { at_char: at });
    const next = this.transcript.segments[this.transcript.place(id) + 1];
    if (next) this.editor.open(next.id, 0);
  }

  async #merge(id, text) {
    const { length } = text ?? this.transcript.get(id).text;
    if (this.transcript.place(id) >= this.transcript.segments.length - 1) return;
    await this.#reshape(id, text, "/merge", {});
    if (text === undefined) this.transcript.go(id);
    else this.editor.open(id, length);
  }

  async #mergeBefore(id, text) {
    const before = this.transcript.segments[this.transcript.place(id) - 1];
    if (text !== this.transcript.get(id).text) await this.#save(id, text);
    await this.#merge(before.id, before.text);
  }

  async confirm(id) {
    if (!this.consent.given) return;
    try {
      await this.saving.change(id, "POST", "/confirm", { version: this.transcript.get(id).version });
      await this.reload();
    } catch (error) {
      this.trouble(error);
    }
  }

  async #replaceAll(form) {
    try {
      await this.api.send("POST", `jobs/${this.token}/replace`, form);
      await this.reload();
      return true;
    } catch (error) {
      this.trouble(error);
      return false;
    }
  }

  async #cancel() {
    await this.api.send("POST", `jobs/${this.token}/cancel`).catch((error) => this.trouble(error));
    await this.reload();
  }

  /** Erase a job, once its person has said yes. */
  async erase(token, title) {
    const { words } = this;
    const answer = await ask(this.part.dialog, make("form", { method: "dialog" },
      make("h2", {}, words.say("erase_question", { title })),
      make("p", {}, words.say("erase_means")),
      make("div", { class: "row" },
        make("button", { class: "quiet", value: "" }, words.say("keep")),
        make("button", { class: "quiet danger", value: "erase" }, words.say("erase")))));
    if (answer !== "erase") return;
    try {
      await this.api.send("DELETE", `jobs/${token}`);
      this.gone(token);
    } catch (error) {
      if (error.status === 404) this.gone(token);
      else this.trouble(error);
    }
  }

  #text() {
    return this.transcript.segments.map((segment) => segment.text).join("\n");
  }

  #copy(text, done) {
    copy(text).then(
      () => (this.part.saved.textContent = this.words.say(done)),
      () => (this.part.saved.textContent = this.words.say("copy_failed")));
  }

  trouble(error) {
    tell(this.part.alert, error.message);
  }
}
