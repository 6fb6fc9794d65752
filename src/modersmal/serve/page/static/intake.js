// Speech comes in: from the microphone, from files, dropped or chosen.

import { make, tell } from "./dom.js";
import { Drafts } from "./drafts.js";
import { Recorder, microphoneTrouble, recordingOf } from "./recorder.js";
import { clock } from "./words.js";

const AT_ONCE = 2;
const MIB = 2 ** 20;

export class Intake {
  /** `opened` is told the token and the form of each job; `alone` whether it came alone. */
  constructor(part, words, api, recent, opened) {
    Object.assign(this, { part, words, api, recent, opened });
    this.queue = [];
    this.sending = 0;
    this.limits = {};
    this.drafts = new Drafts();
    part.record.addEventListener("click", () => this.#record());
    part.stop.addEventListener("click", () => this.#finish());
    part.pause.addEventListener("click", () => this.#pause());
    part.discard.addEventListener("click", () => this.#discard());
    part.choose.addEventListener("click", () => part.files.click());
    part.files.addEventListener("change", () => {
      this.take([...part.files.files]);
      part.files.value = "";
    });
    this.#catchDrops();
    addEventListener("beforeunload", (event) => {
      if (this.recorder || this.sending) event.preventDefault();
    });
  }

  // Files

  #catchDrops() {
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") && !this.part.drop.closest("[data-view]").hidden;
    addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.part.drop.classList.add("over");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.part.drop.classList.remove("over");
    });
    addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.part.drop.classList.remove("over");
      this.take([...event.dataTransfer.files]);
    });
  }

  /** Send files, some at a time; each becomes a job. */
  take(files) {
    tell(this.part.intakeTrouble, "");
    const alone = files.length === 1;
    for (const file of files) {
      const key = crypto.getRandomValues(new Uint32Array(2)).join();
      const title = file.title ?? (file.name.replace(/\.[^.]+$/, "") || file.name);
      const abort = new AbortController();
      const stop = () => {
        abort.abort();
        this.recent.upload(key, null);
        if (file.draft) this.drafts.drop(file.draft);
      };
      const most = this.limits.max_job_mib;
      if (most && file.size > most * MIB) {
        this.recent.upload(key, { title, stop, trouble: this.words.say("too_large", { mib: most }) });
        continue;
      }
      this.#line({ file, key, title, abort, stop, alone, form: this.#form(file, title) });
    }
  }

  #line(item) {
    const { key, title, stop } = item;
    this.recent.upload(key, { title, share: 0, stop, trouble: "" });
    this.queue.push(item);
    this.#sendNext();
  }

  #sendNext() {
    while (this.sending < AT_ONCE && this.queue.length) {
      const item = this.queue.shift();
      if (item.abort.signal.aborted) continue;
      this.sending++;
      this.#send(item).finally(() => {
        this.sending--;
        this.#sendNext();
      });
    }
  }

  async #send(item) {
    const { file, key, title, form, abort, alone } = item;
    try {
      const job = await this.api.upload("jobs", form, (share) => this.recent.upload(key, { share }), abort.signal);
      if (file.draft) this.drafts.drop(file.draft);
      this.recent.upload(key, null);
      this.opened(job.token, title, { alone, protected: form.has("protected") });
    } catch (error) {
      if (!abort.signal.aborted) this.recent.upload(key, { trouble: error.message, again: () => this.#line(item) });
    }
  }

  #form(file, title) {
    const form = new FormData(); // what a server reads first goes first
    form.set("title", title);
    form.set("words", "true");
    if (this.part.language.value) form.set("language", this.part.language.value);
    const names = this.part.names.value.trim();
    if (names) form.set("hotwords", names);
    if (this.part.protected.checked) form.set("protected", "true");
    form.set("file", file, file.name);
    return form;
  }

  // The microphone

  async #record() {
    tell(this.part.intakeTrouble, "");
    this.part.record.disabled = true;
    const draft = this.part.protected.checked ? null : Date.now();
    const recorder = new Recorder({
      tick: (now) => this.#tick(now),
      ended: () => this.#finish("microphone_gone"),
      chunk: (n, chunk) => draft && this.drafts.keep(draft, n, chunk),
    });
    recorder.draft = draft;
    try {
      await recorder.start();
      if (draft) this.drafts.hold(draft);
      this.recorder = recorder;
      this.#showRecording(true);
      this.part.stop.focus();
    } catch (error) {
      tell(this.part.intakeTrouble, this.words.say(microphoneTrouble(error)));
    } finally {
      this.part.record.disabled = false;
    }
  }

  #showRecording(on) {
    this.part.recording.hidden = !on;
    this.part.idle.hidden = on;
    if (!on) this.part.clock.textContent = clock(0);
    this.part.pause.textContent = this.words.say("pause");
    tell(this.part.recordingHint, on ? this.words.say("listening") : "");
  }

  #tick({ seconds, level, silent }) {
    this.part.clock.textContent = clock(seconds);
    this.part.level.style.transform = `scaleX(${level})`;
    const hint = this.words.say(this.recorder?.paused ? "paused" : silent ? "microphone_silent" : "listening");
    if (this.part.recordingHint.textContent !== hint) tell(this.part.recordingHint, hint);
  }

  #pause() {
    this.recorder.pause();
    this.part.pause.textContent = this.words.say(this.recorder.paused ? "resume" : "pause");
  }

  async #finish(trouble) {
    const recorder = this.recorder;
    if (!recorder) return;
    this.recorder = null;
    const file = await recorder.stop();
    this.#showRecording(false);
    if (typeof trouble === "string") tell(this.part.intakeTrouble, this.words.say(trouble));
    this.#takeRecording(file, recorder.draft);
  }

  #takeRecording(file, draft) {
    file.draft = draft;
    file.title = this.words.say("recording_of", { when: this.#moment(draft ?? Date.now()) });
    this.take([file]);
  }

  #moment(ms) {
    const form = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
    return new Date(ms).toLocaleString(this.words.language, form);
  }

  async #discard() {
    const recorder = this.recorder;
    this.recorder = null;
    await recorder.stop();
    if (recorder.draft) await this.drafts.drop(recorder.draft);
    this.#showRecording(false);
    this.part.record.focus();
  }

  /** Offer recordings that were begun in this browser and that no server has got. */
  async offerDrafts() {
    for (const { draft, chunks, seconds } of await this.drafts.left()) {
      const key = `draft ${draft}`;
      const forget = () => this.recent.upload(key, null);
      this.recent.upload(key, {
        title: this.words.say("recording_of", { when: this.#moment(draft) }),
        trouble: this.words.say("recording_left", { time: clock(seconds) }),
        stop: () => this.drafts.drop(draft).then(forget),
        again: () => {
          forget();
          this.#takeRecording(recordingOf(chunks), draft);
        },
      });
    }
  }

  // What the server says of itself

  /** Offer the languages that the model writes; one alone is no choice. */
  offer(about) {
    this.limits = about;
    const chosen = this.part.language.value;
    const languages = about.languages.map((code) => [this.words.languageName(code), code]);
    languages.sort(([one], [other]) => one.localeCompare(other, this.words.language));
    const first = about.language ? [] : [make("option", { value: "" }, this.words.say("detect"))];
    this.part.language.replaceChildren(
      ...first, ...languages.map(([name, code]) => make("option", { value: code }, name)));
    this.part.language.value = chosen || about.language || "";
    this.part.languageField.hidden = about.languages.length < 2;
    if (this.part.languageField.hidden) this.part.language.replaceChildren();
  }
}
