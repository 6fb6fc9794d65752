// What keys do while the transcript has the focus. They are single keys, so only there.

import { ask, make } from "./dom.js";

const HELP = [
  [["space"], "key_play"],
  [["↑", "↓"], "key_segments"],
  [["←", "→"], "key_words"],
  [["Enter"], "key_edit"],
  [["U"], "key_unsure"],
  [["C"], "key_confirm"],
  [["M"], "key_merge"],
  [["/"], "key_find"],
  [["?"], "key_help"],
  null,
  [["Enter"], "key_split"],
  [["Backspace"], "key_merge_before"],
  [["Ctrl + Enter"], "key_save"],
  [["Alt + Enter"], "key_hear"],
  [["Esc"], "key_undo"],
];

export function listenForKeys(list, transcript, does) {
  list.addEventListener("keydown", (event) => {
    if (event.target.closest("textarea, button") || event.ctrlKey || event.metaKey || event.altKey) return;
    const id = transcript.current;
    const at = transcript.place(id);
    const last = transcript.segments.length - 1;
    const go = (place) => transcript.go(transcript.segments[Math.min(Math.max(0, place), last)]?.id);
    const point = (step) => {
      const count = transcript.row(id).timed.length;
      const from = transcript.cursor ? Number(transcript.cursor.dataset.n) : step > 0 ? -1 : count;
      transcript.point(Math.min(Math.max(0, from + step), count - 1));
    };
    const action = {
      ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), Home: () => go(0), End: () => go(last),
      ArrowRight: () => point(1), ArrowLeft: () => point(-1),
      Enter: () => does.edit(id, transcript.cursor ? transcript.offset(transcript.row(id), Number(transcript.cursor.dataset.n)) : undefined),
      " ": () => does.playHere(), u: () => transcript.nextUnsure(), c: () => does.confirm(id), m: () => does.merge(id),
      "/": () => does.find(), "?": () => does.help(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || at < 0) return;
    event.preventDefault();
    action();
  });
}

export function showKeys(dialog, words) {
  const list = (title, rows) => [
    make("h2", {}, words.say(title)),
    make("dl", {}, ...rows.flatMap(([keys, meaning]) => [
      make("dt", {}, ...keys.flatMap((key) => [make("kbd", {}, key === "space" ? words.say("space_bar") : key), " "])),
      make("dd", {}, words.say(meaning)),
    ])),
  ];
  const gap = HELP.indexOf(null);
  return ask(dialog, make("form", { method: "dialog" },
    make("div", {}, ...list("shortcuts", HELP.slice(0, gap))),
    make("div", {}, ...list("shortcuts_editing", HELP.slice(gap + 1))),
    make("div", { class: "row" }, make("button", { class: "primary", autofocus: true }, words.say("close")))));
}
