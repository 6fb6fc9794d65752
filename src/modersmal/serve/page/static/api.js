// The server's HTTP interface. Addresses are relative, so that a proxy may put the page anywhere.

const AGAIN_MS = 3000;

export class Trouble extends Error {
  constructor(status, sentence, body) {
    super(sentence);
    this.status = status;
    this.body = body;
  }
}

export class Api {
  /** `unreachable` is told true when the server stops answering, false when it answers again. */
  constructor(words, unreachable) {
    this.words = words;
    this.unreachable = unreachable;
  }

  url(path) {
    return new URL(path, document.baseURI).href;
  }

  get(path) {
    return this.#ask(path, { method: "GET" });
  }

  send(method, path, body, headers = {}) {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
    return this.#ask(path, { method, headers, ...json });
  }

  /** What comes as a file. */
  file(path, headers = {}) {
    return this.#ask(path, { method: "GET", headers }, (answer) => answer.blob());
  }

  async #ask(path, options, read = (answer) => answer.json().catch(() => null)) {
    let answer;
    try {
      answer = await fetch(this.url(path), { ...options, credentials: "same-origin" });
    } catch {
      this.unreachable(true);
      throw new Trouble(0, this.words.say("no_answer"));
    }
    this.unreachable(false);
    if (answer.ok) return answer.status === 204 ? null : read(answer);
    throw this.#trouble(answer.status, await answer.json().catch(() => null));
  }

  #trouble(status, body) {
    if (status === 401) location.assign(this.url("login") + location.hash);
    const said = body?.error?.message ?? body?.error ?? body?.detail;
    return new Trouble(status, typeof said === "string" ? said : this.words.say("failed", { status }), body);
  }

  /** Send a form with a file; `progress` is told shares of it. Gives the answer's body. */
  upload(path, form, progress, signal) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch does not tell how much of a body has gone
      request.open("POST", this.url(path));
      request.responseType = "json";
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onload = () => {
        if (request.status < 300) resolve(request.response);
        else reject(this.#trouble(request.status, request.response));
      };
      request.onerror = () => reject(new Trouble(0, this.words.say("no_answer")));
      request.onabort = () => reject(new Trouble(0, ""));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /** Follow server-sent events; `handlers` by name are given what each says. Returns a closer. */
  follow(path, handlers) {
    let source, again;
    const begin = () => {
      source = new EventSource(this.url(path));
      for (const [name, handle] of Object.entries(handlers)) {
        source.addEventListener(name, (event) => handle(event.data ? JSON.parse(event.data) : {}));
      }
      source.addEventListener("end", () => source.close());
      source.addEventListener("error", () => { // a browser gives up where a proxy answers for a server
        if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, AGAIN_MS);
      });
    };
    begin();
    return () => {
      clearTimeout(again);
      source.close();
    };
  }
}
