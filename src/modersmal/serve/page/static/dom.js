// Making elements, and finding those that the markup names.

import { icon } from "./icons.js";

/** An element; `on…` among the attributes are listeners, `true` is an attribute without value. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/** A round button that shows an icon and says `label`. */
export function iconButton(name, label, onclick, extra = {}) {
  return make("button", { type: "button", class: "quiet round", "aria-label": label, title: label, onclick, ...extra }, icon(name));
}

/** All parts of `root` that have an attribute data-NAME without dashes after it, by name. */
export function parts(root) {
  return new Proxy({}, {
    get: (found, name) => {
      const attribute = String(name).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      return (found[name] ??= root.querySelector(`[data-${attribute}]`));
    },
  });
}

/** Show a sentence, or hide its place. */
export function tell(place, sentence) {
  place.textContent = sentence ?? "";
  place.hidden = !sentence;
}

/** Ask in a dialog; gives the pressed button's value, or "" where it was closed. */
export function ask(dialog, ...children) {
  dialog.replaceChildren(...children);
  const heading = dialog.querySelector("h2");
  if (heading) {
    heading.id = "dialog-heading";
    dialog.setAttribute("aria-labelledby", heading.id);
  }
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

/** Text to the clipboard, also where the page is not secure and the newer way is closed. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = make("textarea", { readonly: true, class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("copy");
}
