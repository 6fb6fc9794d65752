// The page: which view is shown, in which language, light or dark.

import { Api } from "./api.js";
import { Consent } from "./consent.js";
import { parts, tell } from "./dom.js";
import { draw } from "./icons.js";
import { Intake } from "./intake.js";
import { Job } from "./job.js";
import { Recent } from "./recent.js";
import { Review } from "./review.js";
import { Words } from "./words.js";

const THEME = "modersmal.theme";
const THEMES = ["auto", "light", "dark"];
const ABOUT_MS = 30_000;
const SILENT_MS = 3000; // where the server does not answer

export function start(element, allWords) {
  const page = new Page(element, new Words(allWords));
  page.begin();
}

class Page {
  constructor(element, words) {
    this.element = element;
    this.words = words;
    this.part = parts(element);
    const { part } = this;
    this.api = new Api(words, (silent) => this.#reachable(!silent));
    this.consent = new Consent(part, words, this.api);
    this.job = new Job(part, words, this.api, {
      consent: this.consent,
      gone: (token, sentence) => this.#gone(token, sentence),
      changed: (token, job) => this.#changed(token, job),
    });
    this.review = new Review(part, words, this.api);
    this.recent = new Recent(part, words, this.api, (token, title) => this.job.erase(token, title));
    this.intake = new Intake(part, words, this.api, this.recent, (...job) => this.#opened(...job));
  }

  begin() {
    const { part, element, words } = this;
    element.classList.add("doubts");
    for (const place of element.querySelectorAll("[data-icon]")) draw(place);
    draw(part.theme, "theme");
    this.#setTheme(localStorage.getItem(THEME) ?? "auto");
    part.interface.replaceChildren(...Object.entries(words.all).map(([code, { name }]) => new Option(name, code)));
    part.interface.value = words.language;
    part.interface.addEventListener("change", () => this.#speak(part.interface.value));
    part.theme.addEventListener("click", () => this.#nextTheme());
    for (const link of element.querySelectorAll("[data-home], [data-back], [data-review]")) {
      link.addEventListener("click", (event) => { // a plain #… would lead away from under a <base>
        event.preventDefault();
        location.hash = link.getAttribute("href").slice(1);
      });
    }
    this.#closeMenus();
    this.#fill();
    part.page.hidden = false;
    addEventListener("hashchange", () => this.#route());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    this.#route();
    this.#learn();
    this.intake.offerDrafts();
  }

  // Views

  #route() {
    const place = new URLSearchParams(location.hash.slice(1));
    const view = place.has("job") ? "job" : place.has("review") ? "review" : "intake";
    this.#view(view);
    tell(this.part.alert, "");
    document.title = "modersmal";
    if (view !== "job") this.job.close();
    if (view !== "review") this.review.close();
    if (view === "job") this.job.open(place.get("job"));
    if (view === "review") this.review.open();
    if (view === "intake") this.recent.refresh();
  }

  #view(name) {
    for (const view of this.element.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
    scrollTo(0, 0);
  }

  #opened(token, title, { alone, protected: kept }) {
    if (kept) this.protected = token;
    else this.recent.add(token, title);
    if (alone || kept) location.hash = `job=${token}`;
    else this.recent.refresh();
  }

  #changed(token, job) {
    this.recent.learn(token, job);
    if (!job.protected) this.recent.add(token, job.title);
  }

  #gone(token, sentence) {
    this.recent.remove(token);
    if (this.job.token === token) location.hash = "";
    if (sentence) setTimeout(() => tell(this.part.alert, sentence));
  }

  // Words, colours

  #speak(language) {
    this.words.choose(language);
    this.#fill();
    this.job.redraw();
    this.recent.show();
  }

  #fill() {
    this.words.fill(this.element);
    document.documentElement.lang = this.words.language;
    if (this.about) this.#show();
    this.#announce();
  }

  #setTheme(theme) {
    this.theme = theme;
    localStorage.setItem(THEME, theme);
    for (const name of THEMES) this.element.classList.toggle(name, name === theme);
    document.documentElement.style.colorScheme = theme === "auto" ? "light dark" : theme;
    this.#paint();
  }

  /** What shows behind the page where it is pulled beyond its ends is its own paper. */
  #paint() {
    document.body.style.background = getComputedStyle(this.part.page).backgroundColor;
  }

  #nextTheme() {
    this.#setTheme(THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length]);
  }

  /** Menus close as menus do: by Escape, by a press elsewhere, by a choice. */
  #closeMenus() {
    const menus = [...this.element.querySelectorAll("[data-menu]")];
    addEventListener("click", (event) => {
      for (const menu of menus) if (!menu.contains(event.target) || event.target.closest(".sheet")) menu.open = false;
    });
    for (const menu of menus) {
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !menu.open) return;
        menu.open = false;
        menu.querySelector("summary").focus();
      });
    }
  }

  // The server

  async #learn() {
    const [about, improvement] = await Promise.all([
      this.api.get("page/about").catch(() => null),
      this.api.get("improvements/latest").catch(() => null),
      this.consent.learn(),
    ]);
    this.improvement = improvement;
    this.consent.show(this.job);
    this.#announce();
    if (about) {
      this.about = about;
      this.#show();
    }
    this.#learnIn(this.silent ? SILENT_MS : ABOUT_MS);
  }

  #learnIn(ms) {
    clearTimeout(this.next);
    this.next = setTimeout(() => this.#learn(), ms);
  }

  #show() {
    const { about, part, words } = this;
    const language = about.language ? words.languageName(about.language) : "";
    part.served.textContent = about.ready ? [language, about.release].filter(Boolean).join(" · ") : words.say("starting");
    part.keeps.textContent = words.say("keeps", { days: about.retention_days.toLocaleString(words.language) });
    part.logout.hidden = !about.keys;
    part.review.hidden = !(about.reviewer && this.consent.terms.enabled);
    this.intake.offer(about);
  }

  /** What corrections have made of the model that answers. */
  #announce() {
    const { improvement: found, words } = this;
    if (!found) return tell(this.part.improvement, "");
    const points = { signDisplay: "exceptZero" };
    tell(this.part.improvement, words.count("improved", found.corrections, {
      metric: found.metric.toUpperCase(),
      before: words.number(found.before),
      after: words.number(found.after),
      low: words.number(found.low, points),
      high: words.number(found.high, points),
      release: found.release,
    }));
  }

  #reachable(yes) {
    const before = this.silent;
    this.silent = !yes;
    if (!yes) tell(this.part.alert, this.words.say("no_answer"));
    if (!yes && !before) this.#learnIn(SILENT_MS);
    if (yes && before) {
      tell(this.part.alert, "");
      this.job.openAgain();
    }
  }
}
