// One connection for files: messages of texts and data, in the words of remote/files/messages.py.
import { RequestError, websocketUrl } from "./connection.js";
import { plainUrl } from "./plain.js";

const PROTOCOL = "x2gobroker-files";
const OPEN_SECONDS = 20;
const SILENCE_SECONDS = 40; // longer than the service takes to notice that we are gone
const REFUSED = 4000; // the close code of what a user is told

// The way is gone: to be tried again. `told`: what the service has said of it, for the user.
export class LostError extends Error {
  constructor(told = "") {
    super(told || "lost");
    this.told = told;
  }
}

// The service does not do it; `why` is one of its words.
export class RefusedError extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

export class Channel {
  #socket; #ready = []; #waiting = null; #lost = null;

  constructor(socket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => this.#take(typeof data === "string" ? JSON.parse(data) : data));
    socket.addEventListener("close", ({ code, reason }) => this.#end(new LostError(code === REFUSED ? reason : "")));
  }

  // `ask()`: {protocol, url} for one connection. Raises LostError, RequestError.
  static async open(ask) {
    const { protocol, url } = await ask();
    const socket = new WebSocket(websocketUrl(url), [PROTOCOL, protocol]);
    const channel = new Channel(socket);
    channel.address = plainUrl(url); // for plain requests
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => socket.close(), OPEN_SECONDS * 1000);
      const done = (work) => () => { clearTimeout(late); work(); };
      socket.addEventListener("open", done(resolve));
      socket.addEventListener("close", done(() => reject(channel.#lost)));
    });
    return channel;
  }

  get closed() { return this.#lost !== null; }
  get pending() { return this.#ready.length > 0; } // whether hear() has something at once

  say(message) {
    if (this.#lost) throw this.#lost;
    this.#socket.send(JSON.stringify(message));
  }

  // Send a part of a file.
  sendData(part) {
    if (this.#lost) throw this.#lost;
    this.#socket.send(part);
  }

  // The next message: an object, or an ArrayBuffer. Raises LostError; RefusedError where the service does not do it.
  async hear(seconds = SILENCE_SECONDS) {
    const found = this.#ready.shift() ?? await this.#next(seconds);
    if (found.do === "refused") throw new RefusedError(found.why);
    return found;
  }

  // The same, where it must be of this kind.
  async expect(kind, seconds = SILENCE_SECONDS) {
    const found = await this.hear(seconds);
    if (found.do !== kind) throw this.#wrong();
    return found;
  }

  close() {
    this.#end(new LostError());
  }

  #wrong() {
    this.#end(new LostError());
    return this.#lost;
  }

  #next(seconds) {
    if (this.#lost) throw this.#lost;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#end(new LostError()), seconds * 1000);
      this.#waiting = { resolve, reject, late };
    });
  }

  #take(found) {
    const waiting = this.#waiting;
    if (!waiting) {
      this.#ready.push(found);
      return;
    }
    this.#waiting = null;
    clearTimeout(waiting.late);
    waiting.resolve(found);
  }

  #end(lost) {
    if (this.#lost) return;
    this.#lost = lost;
    this.#socket.close();
    if (!this.#waiting) return;
    clearTimeout(this.#waiting.late);
    this.#waiting.reject(lost);
    this.#waiting = null;
  }
}

// A channel that is opened where it is needed, and again where it has ended meanwhile.
export class Line {
  #ask; #channel = null;

  constructor(ask) {
    this.#ask = ask;
  }

  async channel() {
    if (this.#channel === null || this.#channel.closed) this.#channel = await Channel.open(this.#ask);
    return this.#channel;
  }

  drop() {
    this.#channel?.close();
    this.#channel = null;
  }
}

export { RequestError };
