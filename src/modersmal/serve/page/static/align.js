// Times for the words of a text that a person has changed, from the words that were heard.

const bare = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** Pairs [i, j] of equal words, in order, as many as there can be. */
export function matches(ours, heard) {
  const wide = heard.length + 1;
  const longest = new Uint16Array((ours.length + 1) * wide);
  for (let i = ours.length - 1; i >= 0; i--) {
    for (let j = heard.length - 1; j >= 0; j--) {
      const at = i * wide + j;
      longest[at] = ours[i] === heard[j]
        ? longest[at + wide + 1] + 1
        : Math.max(longest[at + wide], longest[at + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < ours.length && j < heard.length;) {
    if (ours[i] === heard[j]) pairs.push([i++, j++]);
    else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) i++;
    else j++;
  }
  return pairs;
}

/**
 * The words of a segment's text as {text, start_s, end_s, probability}. One that was heard keeps
 * its times; those between share the time between; probability is null where a person wrote it.
 */
export function timedWords(segment) {
  const texts = segment.text.split(/\s+/).filter(Boolean);
  const heard = segment.words ?? [];
  const words = texts.map((text) => ({ text, start_s: null, end_s: null, probability: null }));
  for (const [i, j] of matches(texts.map(bare), heard.map((word) => bare(word.text)))) {
    const { start_s, end_s, probability } = heard[j];
    Object.assign(words[i], { start_s, end_s, probability });
  }
  for (let from = 0; from < words.length; from++) {
    if (words[from].start_s !== null) continue;
    let to = from;
    while (to < words.length && words[to].start_s === null) to++;
    const start = from ? words[from - 1].end_s : segment.start_s;
    const end = to < words.length ? words[to].start_s : segment.end_s;
    const each = Math.max(0, end - start) / (to - from);
    for (let k = from; k < to; k++) {
      words[k].start_s = start + (k - from) * each;
      words[k].end_s = words[k].start_s + each;
    }
  }
  return words;
}
