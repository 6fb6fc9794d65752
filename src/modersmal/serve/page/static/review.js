// Corrections that wait for a reviewer: hear one, accept or reject it, the most uncertain first.

import { matches } from "./align.js";
import { make, tell } from "./dom.js";
import { draw } from "./icons.js";

const AT_ONCE = 20;

export class Review {
  constructor(part, words, api) {
    Object.assign(this, { part, words, api });
    this.queue = [];
    part.reviewPlay.addEventListener("click", () => this.#play());
    part.reviewAccept.addEventListener("click", () => this.#judge("accept"));
    part.reviewReject.addEventListener("click", () => this.#judge("reject"));
    part.reviewText.addEventListener("input", () => this.#showChanges());
    for (const event of ["play", "pause", "ended"]) {
      part.reviewAudio.addEventListener(event, () => draw(part.reviewPlay, part.reviewAudio.paused ? "play" : "pause"));
    }
    part.reviewItem.addEventListener("keydown", (event) => this.#key(event));
  }

  async open() {
    this.queue = [];
    this.current = null;
    await this.#next();
  }

  close() {
    this.part.reviewAudio.pause();
    this.part.reviewAudio.removeAttribute("src");
  }

  async #next() {
    const { part, words } = this;
    try {
      if (!this.queue.length) {
        const answer = await this.api.get(`review/queue?limit=${AT_ONCE}`);
        this.queue = answer.items;
        this.waiting = answer.waiting;
      }
    } catch (error) {
      this.#show(null, error.status === 403 ? words.say("review_not_you") : error.message);
      return;
    }
    this.#show(this.queue[0] ?? null, words.say("review_none"));
    if (this.current) part.reviewItem.focus();
  }

  #show(item, otherwise) {
    const { part, words } = this;
    this.current = item;
    part.reviewItem.hidden = !item;
    tell(part.reviewEmpty, item ? "" : otherwise);
    part.reviewLeft.textContent = item ? words.count("review_left", this.waiting) : "";
    if (!item) return;
    part.reviewAudio.src = this.api.url(`review/${item.id}/audio`);
    part.reviewText.value = item.text;
    part.reviewFacts.textContent = [item.release, words.say(`voice_${item.voice}`), words.say(`ground_${item.ground}`)].join(" · ");
    this.#showChanges();
  }

  /** What the model wrote, with what the correction takes away struck out and what it adds marked. */
  #showChanges() {
    const heard = this.current.hypothesis.split(/\s+/).filter(Boolean);
    const text = this.part.reviewText.value.split(/\s+/).filter(Boolean);
    const pairs = [...matches(heard.map(exact), text.map(exact)), [heard.length, text.length]];
    const pieces = [];
    let [i, j] = [0, 0];
    for (const [toI, toJ] of pairs) {
      if (toI > i) pieces.push(make("del", {}, heard.slice(i, toI).join(" ")), " ");
      if (toJ > j) pieces.push(make("ins", {}, text.slice(j, toJ).join(" ")), " ");
      if (toI < heard.length) pieces.push(`${heard[toI]} `);
      [i, j] = [toI + 1, toJ + 1];
    }
    this.part.reviewChanges.replaceChildren(...pieces);
  }

  #play() {
    const { reviewAudio } = this.part;
    if (reviewAudio.paused) reviewAudio.play().catch(() => {});
    else reviewAudio.pause();
  }

  #key(event) {
    if (event.target !== this.part.reviewItem || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { " ": () => this.#play(), a: () => this.#judge("accept"), r: () => this.#judge("reject") }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  async #judge(verdict) {
    const { id, text, version } = this.current;
    const written = this.part.reviewText.value.trim();
    try {
      await this.api.send("POST", `review/${id}`, { verdict, version, ...(verdict === "accept" && written !== text ? { text: written } : {}) });
    } catch (error) {
      if (error.status !== 404 && error.status !== 409) return tell(this.part.alert, error.message);
    }
    this.queue.shift();
    this.waiting--;
    await this.#next();
  }
}

const exact = (word) => word;
