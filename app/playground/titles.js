// Titles searched in the page, where the service has no search of its own: case, accents and a typo are forgiven.

import { ask, changes, get } from "./api.js";

let index = null; // a promise: every item of the map, the most popular first

changes.addEventListener("model", () => (index = null));

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const words = (text) => text.match(/[\p{L}\p{N}]+/gu) ?? [];

/** The best matches: every word of the text begins a word of the title, is in it, or nearly is. */
export async function find(text, most) {
  index ??= ask(get("map")).then((map) => map.item_ids.map((item_id, position) => {
    const title = map.titles[position] ?? item_id;
    return { item_id, title, plain: folded(title), words: words(folded(title)) };
  }));
  const wanted = words(folded(text));
  return (await index)
    .map((item) => [wanted.reduce((sum, word) => sum * likeness(word, item), wanted.length ? 1 : 0), item])
    .filter(([score]) => score > 0)
    .sort(([a], [b]) => b - a) // stable: popular ones first
    .slice(0, most)
    .map(([, { item_id, title }]) => ({ item_id, title }));
}

function likeness(word, item) {
  if (item.words.includes(word)) return 1;
  if (item.words.some((each) => each.startsWith(word))) return 0.9;
  if (item.plain.includes(word)) return 0.5;
  return word.length > 3 && item.words.some((each) => oneEdit(word, each)) ? 0.3 : 0;
}

// One letter too many, too few, wrong, or two swapped; the word may go on after it.
function oneEdit(word, other) {
  let same = 0;
  while (same < word.length && word[same] === other[same]) same++;
  const goesOn = (rest, from) => other.startsWith(rest, from);
  return goesOn(word.slice(same + 1), same + 1) || goesOn(word.slice(same + 1), same) || goesOn(word.slice(same), same + 1)
    || (word[same] === other[same + 1] && word[same + 1] === other[same] && goesOn(word.slice(same + 2), same + 2));
}
