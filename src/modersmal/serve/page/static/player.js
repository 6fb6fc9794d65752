// The recording, and where in it we are.

import { draw } from "./icons.js";
import { clock } from "./words.js";

const SPEED = "modersmal.speed";

export class Player {
  /** `at` is told the second that is heard, many times a second while it plays. */
  constructor(part, words, at) {
    this.part = part;
    this.words = words;
    this.at = at;
    this.audio = part.audio;
    this.until = Infinity;
    part.play.addEventListener("click", () => this.toggle());
    part.player.addEventListener("click", (event) => {
      const skip = event.target.closest("[data-skip]");
      if (skip) this.skip(Number(skip.dataset.skip));
    });
    part.seek.addEventListener("input", () => this.seek(Number(part.seek.value)));
    part.speed.addEventListener("change", () => this.#setSpeed(part.speed.value));
    this.#setSpeed(localStorage.getItem(SPEED) ?? "1");
    for (const event of ["play", "pause", "ended"]) this.audio.addEventListener(event, () => this.#changed());
    for (const event of ["timeupdate", "seeked"]) this.audio.addEventListener(event, () => this.#show());
  }

  open(address, duration_s) {
    if (this.audio.src !== address) this.audio.src = address;
    this.duration_s = duration_s;
    this.part.seek.max = duration_s;
    this.part.length.textContent = clock(duration_s);
    this.part.player.hidden = false;
    this.#show();
  }

  close() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.part.player.hidden = true;
  }

  get open_() {
    return !this.part.player.hidden;
  }

  get time() {
    return this.audio.currentTime;
  }

  get playing() {
    return !this.audio.paused;
  }

  play(from_s = this.time, until_s = Infinity) {
    if (!this.open_) return;
    this.audio.currentTime = from_s;
    this.until = until_s;
    this.audio.play().catch(() => {}); // a later press of another key has stopped it
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  skip(seconds) {
    this.seek(this.time + seconds);
  }

  seek(to_s) {
    this.audio.currentTime = Math.min(Math.max(0, to_s), this.duration_s);
    this.until = Infinity;
    this.#show();
  }

  #setSpeed(speed) {
    this.part.speed.value = speed;
    this.audio.defaultPlaybackRate = this.audio.playbackRate = Number(speed);
    localStorage.setItem(SPEED, speed);
  }

  #changed() {
    draw(this.part.play, this.playing ? "pause" : "play");
    this.words.label(this.part.play, this.playing ? "pause_playing" : "play");
    const step = () => {
      this.#show();
      if (this.time >= this.until) this.audio.pause();
      if (this.playing) requestAnimationFrame(step);
    };
    step();
  }

  #show() {
    this.part.seek.value = this.time;
    this.part.seek.setAttribute("aria-valuetext", clock(this.time));
    this.part.now.textContent = clock(this.time);
    this.at(this.time, this.playing);
  }
}
