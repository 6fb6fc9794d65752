// Whether what is corrected may teach the model: asked for where an administrator has said for what.

import { ask, copy, make } from "./dom.js";

const KEPT = "modersmal.person";

export class Consent {
  constructor(part, words, api) {
    Object.assign(this, { part, words, api });
    this.terms = { enabled: false };
    part.person.addEventListener("click", () => this.#person());
  }

  async learn() {
    this.terms = await this.api.get("corrections/terms").catch(() => ({ enabled: false }));
    this.part.person.hidden = !this.terms.enabled;
  }

  get given() {
    return Boolean(this.job?.job?.consent);
  }

  /** Show where a job stands. */
  show(job) {
    this.job = job;
    if (!job.job) return;
    const { words, part } = this;
    const may = Boolean(this.terms.enabled && !job.job.protected && job.transcript.segments.length && (this.given || job.done));
    part.consent.hidden = !may;
    if (job.transcript.confirmable !== (may && this.given)) {
      job.transcript.confirmable = may && this.given;
      job.transcript.redraw();
    }
    if (!may) return;
    const [sentence, act, press] = this.given
      ? ["consent_given", "withdraw", () => this.#withdraw(job)]
      : ["consent_ask", "consent_read", () => this.#give(job)];
    part.consent.replaceChildren(
      make("p", {}, words.say(sentence)),
      make("button", { type: "button", class: "quiet", onclick: press }, words.say(act)));
  }

  /** What the person agrees to, and on what ground; both must be answered. */
  async #give(job) {
    const { words, terms } = this;
    const choice = (name, values) => make("fieldset", {}, make("legend", {}, words.say(name)),
      ...values.map((value) => make("label", { class: "check" },
        make("input", { type: "radio", name, value, required: true }), words.say(`${name}_${value}`))));
    const form = make("form", { method: "dialog" },
      make("h2", {}, words.say("consent_ask")),
      make("p", {}, terms.purpose),
      make("p", { class: "text" }, terms.consent),
      make("p", { class: "hint" }, words.say("consent_kept", { n: terms.retention_days.toLocaleString(words.language) })),
      choice("voice", ["mine", "others", "unknown"]),
      choice("ground", ["consent", "employment", "public", "unknown"]),
      make("div", { class: "row" },
        make("button", { class: "quiet", value: "", formnovalidate: true }, words.say("consent_no")),
        make("button", { class: "primary", value: "yes" }, words.say("consent_yes"))));
    if (await ask(this.part.dialog, form) !== "yes") return;
    const answers = new FormData(form);
    const before = localStorage.getItem(KEPT);
    try {
      const answer = await this.api.send("POST", `jobs/${job.token}/consent`, {
        version: terms.version, voice: answers.get("voice"), ground: answers.get("ground"),
        ...(before ? { person_key: before } : {}),
      });
      if (answer.person_key) localStorage.setItem(KEPT, answer.person_key);
      await job.reload();
      if (answer.person_key && answer.person_key !== before) await this.#showKey(answer.person_key);
    } catch (error) {
      job.trouble(error);
    }
  }

  async #withdraw(job) {
    await this.api.send("DELETE", `jobs/${job.token}/consent`).catch((error) => job.trouble(error));
    await job.reload();
  }

  // The key that opens a person's own data

  #showKey(key) {
    const { words } = this;
    const said = make("span", { class: "hint", role: "status" });
    const put = () => copy(key).then(() => (said.textContent = words.say("key_copied")), () => {});
    return ask(this.part.dialog, make("form", { method: "dialog" },
      make("h2", {}, words.say("key_title")),
      make("p", {}, words.say("key_means")),
      make("code", { class: "key" }, key),
      make("div", { class: "row" }, said,
        make("button", { type: "button", class: "quiet", onclick: put }, words.say("key_copy")),
        make("button", { class: "primary" }, words.say("close")))));
  }

  async #person() {
    const { words } = this;
    const field = make("input", { type: "text", autocomplete: "off", required: true, spellcheck: "false" });
    field.value = localStorage.getItem(KEPT) ?? "";
    const said = make("p", { class: "hint", role: "status" });
    const act = (work) => async () => {
      if (!field.reportValidity()) return;
      try {
        said.textContent = await work({ "X-Person-Key": field.value.trim() });
      } catch (error) {
        said.textContent = error.message;
      }
    };
    const fetchAll = act(async (headers) => {
      const all = await this.api.file("person/export", headers);
      const link = make("a", { download: "corrections.zip", href: URL.createObjectURL(all) });
      link.click();
      URL.revokeObjectURL(link.href);
      return words.say("data_exported");
    });
    const eraseAll = act(async (headers) => {
      if (!confirm(words.say("data_erase_question"))) return "";
      const { releases } = await this.api.send("DELETE", "person", undefined, headers);
      localStorage.removeItem(KEPT);
      const learned = releases.length ? words.say("data_learned", { releases: releases.join(", ") }) : "";
      return `${words.say("data_erased")} ${learned}`;
    });
    await ask(this.part.dialog, make("form", { method: "dialog" },
      make("h2", {}, words.say("my_data")),
      make("p", {}, words.say("data_means")),
      make("label", {}, make("span", {}, words.say("key_field")), field),
      said,
      make("div", { class: "row" },
        make("button", { type: "button", class: "quiet danger", onclick: eraseAll }, words.say("data_erase")),
        make("button", { type: "button", class: "quiet", onclick: fetchAll }, words.say("data_export")),
        make("button", { class: "primary", formnovalidate: true }, words.say("close")))));
  }
}
