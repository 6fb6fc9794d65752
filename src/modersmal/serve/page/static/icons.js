// Icons, drawn here so that none is fetched.

const PATHS = {
  microphone: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5 11v1a7 7 0 0 0 14 0v-1M12 19v3",
  check: "m5 12.5 4.5 4.5L19 7.5",
  lock: "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
  back: "m14.5 5-7 7 7 7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M5 20h14",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  find: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm5-1.5L20 20",
  close: "m6 6 12 12M18 6 6 18",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  earlier: "M11 7 6 12l5 5M18 7l-5 5 5 5",
  later: "m13 7 5 5-5 5M6 7l5 5-5 5",
  edit: "m5 19 1-4L16 5l3 3L9 18zM14 7l3 3",
  trash: "M5 7h14M10 7V4.5h4V7m-7 0 .8 12.5h8.4L17 7",
  theme: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 4v16",
};
const THICK = { more: 3.5, pause: 3 };
const FILLED = new Set(["play"]);

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const attributes = {
    viewBox: "0 0 24 24", "aria-hidden": "true", stroke: "currentColor", "stroke-linecap": "round",
    "stroke-linejoin": "round", "stroke-width": THICK[name] ?? 1.8,
    fill: FILLED.has(name) ? "currentColor" : "none",
  };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Draw the icon that a place asks for, in place of the one that is there. */
export function draw(place, name = place.dataset.icon) {
  place.dataset.icon = name;
  place.replaceChildren(icon(name));
}
