// Edits on their way to the server: one after the other for each segment, again where it is silent.

import { Trouble } from "./api.js";

const AGAIN_MS = 3000;

export class Saving {
  /** `place` shows how it goes; `saved` is given each segment as the server has it now. */
  constructor(place, words, api, saved) {
    Object.assign(this, { place, words, api, saved });
    this.waiting = new Map();
    this.open = 0;
    addEventListener("beforeunload", (event) => this.open && event.preventDefault());
  }

  begin(token) {
    this.token = token;
    this.waiting.clear();
    this.place.textContent = "";
  }

  /** Do one thing to a segment when what was asked before is done. Gives the server's answer. */
  change(id, method, path, body) {
    const token = this.token;
    const before = this.waiting.get(id) ?? Promise.resolve();
    const done = before.catch(() => {}).then(() => this.#until(method, `jobs/${token}/segments/${id}${path}`, body));
    this.waiting.set(id, done);
    return done;
  }

  async #until(method, path, body) {
    this.open++;
    this.place.textContent = this.words.say("saving");
    try {
      for (;;) {
        try {
          const answer = await this.api.send(method, path, typeof body === "function" ? body() : body);
          this.place.textContent = this.words.say("saved");
          return answer;
        } catch (error) {
          if (!(error instanceof Trouble) || error.status !== 0) throw error;
          this.place.textContent = this.words.say("saving_later");
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
      }
    } catch (error) {
      this.place.textContent = this.words.say("not_saved");
      throw error;
    } finally {
      this.open--;
    }
  }
}
