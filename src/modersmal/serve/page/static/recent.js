// The jobs that were begun in this browser: their links, kept here and nowhere else.

import { iconButton, make } from "./dom.js";

const KEPT = "modersmal.jobs";
const MOST = 50;
const POLL_MS = 3000;
export const UNDER_WAY = new Set(["waiting", "hearing", "writing"]);

export class Recent {
  constructor(part, words, api, erase) {
    Object.assign(this, { part, words, api, erase });
    this.uploads = new Map();
    this.known = new Map();
    addEventListener("storage", (event) => event.key === KEPT && this.show());
  }

  get jobs() {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) ?? [];
    } catch {
      return [];
    }
  }

  add(token, title) {
    const others = this.jobs.filter((job) => job.token !== token);
    this.#keep([{ token, title }, ...others].slice(0, MOST));
  }

  remove(token) {
    this.#keep(this.jobs.filter((job) => job.token !== token));
  }

  #keep(jobs) {
    localStorage.setItem(KEPT, JSON.stringify(jobs));
    this.show();
  }

  /** Show a file that is on its way; `share` 0..1, or a sentence of what went wrong; null: no more. */
  upload(key, state) {
    if (state) this.uploads.set(key, { ...this.uploads.get(key), ...state });
    else this.uploads.delete(key);
    this.show();
  }

  /** Look at every job again, and at those under way until they are done. */
  async refresh() {
    clearTimeout(this.timer);
    const ask = this.jobs.filter(({ token }) => !this.known.has(token) || UNDER_WAY.has(this.known.get(token).state));
    await Promise.all(ask.map(({ token }) => this.#look(token)));
    this.show();
    const going = [...this.known.values()].some((job) => UNDER_WAY.has(job.state));
    if (going && !this.part.recent.closest("[data-view]").hidden) {
      this.timer = setTimeout(() => this.refresh(), POLL_MS);
    }
  }

  async #look(token) {
    try {
      this.known.set(token, await this.api.get(`jobs/${token}`));
    } catch (error) {
      if (error.status === 404) {
        this.known.delete(token);
        this.remove(token);
      }
    }
  }

  /** What is known of a job has changed. */
  learn(token, job) {
    this.known.set(token, job);
  }

  show() {
    const rows = [
      ...[...this.uploads].map(([, upload]) => this.#uploadRow(upload)),
      ...this.jobs.map((job) => this.#jobRow(job)),
    ];
    this.part.recent.replaceChildren(...rows);
    this.part.recentSection.hidden = !rows.length;
  }

  #uploadRow({ title, share, trouble, stop, again }) {
    const state = trouble
      ? make("small", { class: "red" }, trouble)
      : make("small", {}, this.words.say("uploading", { percent: Math.round(100 * share) }));
    return make("li", {},
      make("div", { class: "rest" }, make("b", {}, title), state,
        !trouble && make("progress", { max: 1, value: share, "aria-label": title })),
      trouble && again && make("button", { type: "button", class: "quiet", onclick: again }, this.words.say("try_again")),
      iconButton("close", this.words.say(trouble ? "close" : "cancel"), stop));
  }

  #jobRow({ token, title }) {
    const job = this.known.get(token);
    return make("li", {},
      make("a", { href: `#job=${token}` }, make("b", {}, job?.title || title), this.#state(job)),
      iconButton("trash", this.words.say("erase_named", { title }), () => this.erase(token, title)));
  }

  #state(job) {
    if (!job) return make("small", {}, "…");
    if (UNDER_WAY.has(job.state)) {
      const share = job.duration_s ? job.reached_s / job.duration_s : 0;
      return make("small", {}, this.words.say(`state_${job.state}`), share ? ` ${Math.round(100 * share)} %` : "");
    }
    const facts = [
      job.state !== "done" && this.words.say(`state_${job.state}`),
      job.duration_s && this.words.duration(job.duration_s),
      job.expires && this.words.say("erased_on", { date: this.words.date(job.expires) }),
    ].filter(Boolean);
    return make("small", { class: job.state === "failed" && "red" }, facts.join(" · "));
  }
}
