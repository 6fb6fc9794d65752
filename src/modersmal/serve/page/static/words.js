// The words of the interface, in one of the languages that there is a file of.

const KEPT = "modersmal.interface";

export class Words {
  constructor(all) {
    this.all = all;
    this.language = this.#first();
  }

  /** The language chosen before, else the first of the browser's that there is, else English. */
  #first() {
    const wanted = [localStorage.getItem(KEPT), ...navigator.languages.map((code) => code.split("-")[0])];
    return wanted.find((code) => code in this.all) ?? "en";
  }

  choose(language) {
    this.language = language;
    localStorage.setItem(KEPT, language);
  }

  /** The sentence of `key`, with {names} in it replaced by their values. */
  say(key, values = {}) {
    const sentence = this.all[this.language][key] ?? this.all.en[key] ?? key;
    return sentence.replace(/\{(\w+)\}/g, (gap, name) => values[name] ?? gap);
  }

  /** Like `say`, by number: `key_one` where it is 1. */
  count(key, n, values = {}) {
    return this.say(n === 1 ? `${key}_one` : key, { n: n.toLocaleString(this.language), ...values });
  }

  /** Put words where the markup asks for them. */
  fill(root) {
    root.lang = this.language;
    for (const part of root.querySelectorAll("[data-word]")) part.textContent = this.say(part.dataset.word);
    for (const part of root.querySelectorAll("[data-word-label]")) this.label(part, part.dataset.wordLabel);
    for (const part of root.querySelectorAll("[data-word-placeholder]")) {
      part.placeholder = this.say(part.dataset.wordPlaceholder);
    }
  }

  /** Name a button that has no text, for those who hear it and those who point at it. */
  label(part, key) {
    part.dataset.wordLabel = key;
    part.setAttribute("aria-label", this.say(key));
    if (part.matches("button, a, summary")) part.title = this.say(key);
  }

  /** The name of a language in the interface's own: "svenska" for sv. */
  languageName(code) {
    try {
      return new Intl.DisplayNames([this.language], { type: "language" }).of(code);
    } catch {
      return code;
    }
  }

  /** A number with one decimal. */
  number(value, how = {}) {
    return value.toLocaleString(this.language, { minimumFractionDigits: 1, maximumFractionDigits: 1, ...how });
  }

  date(seconds) {
    return new Date(seconds * 1000).toLocaleDateString(this.language, { day: "numeric", month: "long" });
  }

  /** A length of time as people say it: 40 s, 3 min, 1 h 5 min. */
  duration(seconds) {
    if (seconds < 60) return this.say("seconds", { n: Math.max(1, Math.round(seconds)) });
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return this.say("minutes", { n: minutes });
    return this.say("hours", { h: Math.floor(minutes / 60), n: minutes % 60 });
  }
}

/** A place in a recording: 1:05, 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(Math.max(0, seconds || 0));
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  return whole >= 3600
    ? `${Math.floor(whole / 3600)}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}
