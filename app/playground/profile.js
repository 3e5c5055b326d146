// What somebody new has said so far: item ids and signed strengths, in the order in which they were named.

export const profile = new Map();
export const changed = new EventTarget(); // "profile"

/** Whoever was looked at last, for the map: item ids. */
export const spotlight = { history: [], recommended: [] };

export const STRENGTHS = 5;

export function rate(id, value) {
  profile.set(id, value);
  changed.dispatchEvent(new Event("profile"));
}

export function forget(id) {
  profile.delete(id);
  changed.dispatchEvent(new Event("profile"));
}

export const interactions = () => [...profile].map(([item_id, value]) => ({ item_id, value }));
