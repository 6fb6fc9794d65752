// A recording is kept in the browser, second by second, until the server has it: a tab that is
// closed, or a server that is away, does not lose it.

const NAME = "modersmal.drafts";

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

export class Drafts {
  /** Null where the browser keeps nothing, as in some private windows. */
  async #store(mode) {
    this.opening ??= new Promise((resolve) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore("chunks", { keyPath: ["draft", "n"] });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    });
    const database = await this.opening;
    return database?.transaction("chunks", mode).objectStore("chunks") ?? null;
  }

  /** Say to other tabs that this one looks after a draft, for as long as it is open. */
  hold(draft) {
    navigator.locks.request(this.#lock(draft), () => new Promise(() => {}));
  }

  #lock(draft) {
    return `${NAME}.${draft}`;
  }

  async keep(draft, n, chunk) {
    const store = await this.#store("readwrite");
    if (store) await done(store.put({ draft, n, chunk })).catch(() => {}); // a full disk: it goes on in memory
  }

  async drop(draft) {
    const store = await this.#store("readwrite");
    if (store) await done(store.delete(IDBKeyRange.bound([draft, 0], [draft, Infinity])));
  }

  /** Recordings that nobody looks after, as {draft, chunks, seconds}; drafts are when they began. */
  async left() {
    if (!navigator.locks) return []; // without https, where nothing can be recorded either
    const held = new Set((await navigator.locks.query()).held.map((lock) => lock.name));
    const store = await this.#store("readonly");
    const all = store ? await done(store.getAll()) : [];
    const rows = all.filter((row) => !held.has(this.#lock(row.draft)));
    return [...Map.groupBy(rows, (row) => row.draft)].map(([draft, of]) => ({
      draft, chunks: of.map((row) => row.chunk), seconds: of.length,
    }));
  }
}
