// Uploads and downloads, one after another in each direction; what breaks off goes on by itself when the way is back.
// Events of a transfer: `change`. States: waiting, running, finishing, lost (it is tried again), done, failed, cancelled.
import { Line, LostError, RefusedError, RequestError } from "./channel.js";
import { saveFile, sendPart, works } from "./plain.js";
import { openSink, SinkError } from "./saving.js";

const PART_BYTES = 1 << 19; // of one message
const SMALL_BYTES = 1 << 22; // what is no larger goes over the channel
const FIRST_BYTES = 1 << 22; // by the first request of a page: whether web servers let such a thing through
const REQUEST_BYTES = 1 << 29; // by one request: some web servers take no more than 1 GB at once
const WINDOW_BYTES = 1 << 23; // sent without word that it was taken
const TAKEN_BYTES = 1 << 20; // of which the service is told
const FINISH_SECONDS = 3600; // for the disk to take all of a large file
const AGAIN_SECONDS = [1, 2, 4, 8, 15]; // the last one from then on
const GIVE_UP_SECONDS = 15 * 60; // without a byte
// what the service refuses for a moment only: an earlier connection is not over yet, or a request broke off
const AGAIN = { up: ["busy", "silent", "broken"], down: ["busy", "silent"] };
const CANCEL_SECONDS = 3; // for the service to hear of it
const TELL_SECONDS = 0.2;

const now = () => performance.now() / 1000;
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

class Transfer extends EventTarget {
  state = "waiting";
  at = 0;
  why = ""; // with failed: a word of the service, or of ours
  told = ""; // with failed and lost: what the service has said
  moved = false; // whether a byte has gone since the last attempt
  #cancel = new AbortController();
  #told = 0;

  constructor(folder, name, size) {
    super();
    this.folder = folder;
    this.name = name;
    this.size = size;
  }

  get over() { return ["done", "failed", "cancelled"].includes(this.state); }
  get signal() { return this.#cancel.signal; }

  cancel() {
    this.#cancel.abort();
    if (this.state === "waiting" || this.state === "lost") this.set("cancelled");
  }

  // Begin again after a failure.
  reset() {
    this.#cancel = new AbortController();
    this.set("waiting");
  }

  set(state, { why = "", told = "" } = {}) {
    Object.assign(this, { state, why, told });
    this.dispatchEvent(new Event("change"));
  }

  // So many bytes are where they should be.
  progress(at) {
    this.moved ||= at > this.at;
    this.at = at;
    if (now() - this.#told < TELL_SECONDS && at !== this.size) return;
    this.#told = now();
    this.dispatchEvent(new Event("change"));
  }

  checkCancelled() {
    if (this.signal.aborted) throw new DOMException("", "AbortError");
  }
}

// A file from here on, in parts of a message each. As a stream: several times as fast as slice after slice.
async function* partsOf(file, at) {
  const reader = file.slice(at).stream().getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      for (let from = 0; from < value.byteLength; from += PART_BYTES) yield value.subarray(from, from + PART_BYTES);
    }
  } finally {
    reader.cancel();
  }
}

export class Upload extends Transfer {
  way = "up";
  #file; #sent = false; #plain = true;

  constructor(folder, file) {
    super(folder, file.name.normalize("NFC"), file.size);
    this.#file = file;
  }

  async run(channel) {
    if (this.#sent && await this.#isThere(channel)) return;
    const { size } = this;
    channel.say({ do: "upload", folder: this.folder, name: this.name, size, modified: Math.max(0, this.#file.lastModified) });
    const ready = await channel.expect("ready");
    const first = await this.#sameEnd(ready) ? ready.offset : 0;
    this.progress(first);
    const posted = this.#plain && works.up && size - first > SMALL_BYTES ? await this.#post(channel, first) : first;
    if (posted < size || posted === first) await this.#stream(channel, posted);
    this.#sent = true;
    this.set("finishing");
    this.saved = (await channel.expect("done", FINISH_SECONDS)).name;
  }

  // By requests, from here on; how far they got: to the end, or to where the channel has to go on.
  async #post(channel, from) {
    let at = from;
    while (at < this.size) {
      const end = Math.min(this.size, at + (works.proven ? REQUEST_BYTES : FIRST_BYTES));
      channel.say({ do: "post", offset: at, bytes: end - at });
      const { ticket } = await channel.expect("ticket");
      if (!(await this.#postPart(channel, ticket, at, end))) return at;
      works.proven = true;
      at = end;
    }
    return at;
  }

  // One request; false where it does not get through.
  async #postPart(channel, ticket, at, end) {
    const stop = new AbortController();
    let written = at;
    let blocked = false;
    sendPart(channel.address, ticket, this.#file.slice(at, end), stop.signal).then((status) => {
      if (status === 200 || written > at || stop.signal.aborted) return;
      blocked = true;
      if (status) works.up = false;
    });
    try {
      while (written < end) {
        if (this.signal.aborted) {
          stop.abort();
          await this.#giveUp(channel);
        }
        written = (await channel.expect("written")).bytes; // it comes every now and then, even if it is the same
        this.progress(written);
        if (blocked && written === at) { // and not because all ways are gone
          this.#plain = false;
          return false;
        }
      }
      return true;
    } catch (error) {
      if (error instanceof RefusedError && written === at) this.#plain = false;
      throw error;
    } finally {
      stop.abort();
    }
  }

  // Over the channel, from here on.
  async #stream(channel, from) {
    const { size } = this;
    channel.say({ do: "go", offset: from });
    let at = from;
    let written = from;
    const parts = partsOf(this.#file, at);
    try {
      while (written < size) {
        if (this.signal.aborted) await this.#giveUp(channel);
        if (at < size && at - written < WINDOW_BYTES && !channel.pending) {
          const { value: part } = await parts.next();
          if (!part) throw new SinkError("unreadable"); // it is shorter now
          channel.sendData(part);
          at += part.byteLength;
        } else {
          written = (await channel.expect("written")).bytes;
          this.progress(written);
        }
      }
    } finally {
      parts.return();
    }
  }

  // What has come is the beginning of this file, and not of another one with its name, size and date.
  async #sameEnd({ offset, tail, digest }) {
    if (!offset) return true;
    const part = await this.#file.slice(offset - tail, offset).arrayBuffer();
    return hex(await crypto.subtle.digest("SHA-256", part)) === digest;
  }

  // The way was lost after the last byte: it may be whole by now.
  async #isThere(channel) {
    const date = Math.floor(Math.max(0, this.#file.lastModified) / 1000);
    const stem = this.name.replace(/\.[^.]*$/, "");
    const found = (await listFolder(channel, this.folder, true)).entries.find((entry) => (
      entry.size === this.size && entry.modified === date && entry.name.startsWith(stem)));
    if (found) this.saved = found.name;
    return Boolean(found);
  }

  async #giveUp(channel) {
    channel.say({ do: "cancel" });
    while ((await channel.hear()).do !== "cancelled");
    this.checkCancelled();
  }
}

export class Download extends Transfer {
  way = "down";
  #item; #stamp = ""; #sink = null; #plain = true;

  constructor(folder, entry) {
    super(folder, entry.name, entry.size);
    this.#item = entry.item;
  }

  reset() {
    this.#drop();
    this.at = 0;
    super.reset();
  }

  async run(channel) {
    if (this.#plain && works.down && await this.#save(channel)) return;
    if (this.#sink === null) this.at = 0;
    try {
      channel.say({ do: "download", folder: this.folder, item: this.#item, offset: this.at, stamp: this.#stamp });
      const { size, stamp } = await channel.expect("sending");
      this.size = size;
      this.#stamp = stamp;
      this.#sink ??= await openSink(this.name, size, this.signal);
      let told = this.at;
      while (this.at < size) {
        this.checkCancelled();
        const part = await channel.hear();
        if (!(part instanceof ArrayBuffer)) throw new LostError();
        const end = this.at + part.byteLength; // the part itself is handed over, and has no length then
        await this.#sink.write(part);
        this.progress(end); // it is there, even if nobody can be told any more
        if (end - told >= TAKEN_BYTES || end === size) channel.say({ do: "taken", bytes: told = end });
      }
      await channel.expect("sent");
      this.set("finishing");
      await this.#sink.close();
    } catch (error) {
      if (!(error instanceof LostError)) {
        this.#drop();
        channel.close(); // there is no other word for it, and what is on its way is of no use
      }
      throw error;
    }
  }

  // By a request that the browser makes a download of; false where it does not get through.
  async #save(channel) {
    channel.say({ do: "fetch", folder: this.folder, item: this.#item });
    const { ticket, bytes } = await channel.expect("ticket");
    this.size = bytes;
    this.at = 0;
    let asked = false;
    const cancel = () => {
      if (!asked && !channel.closed) channel.say({ do: "cancel" });
      asked = true;
    };
    const leave = saveFile(channel.address, ticket, this.name, cancel);
    this.signal.addEventListener("abort", cancel, { once: true });
    try {
      for (;;) {
        const found = await channel.hear(); // it comes every now and then
        if (found.do === "sent") return true;
        if (found.do === "cancelled") break;
        this.progress(found.bytes);
      }
      this.checkCancelled();
      works.down = false;
      return false;
    } catch (error) {
      // over the channel it can go on where it was, as often as need be
      if (error instanceof LostError || (error instanceof RefusedError && error.why === "silent")) this.#plain = false;
      throw error;
    } finally {
      this.signal.removeEventListener("abort", cancel);
      asked = true; // the next one on this channel is none of its business
      leave();
    }
  }

  cancel() {
    super.cancel();
    if (this.over) this.#drop();
  }

  #drop() {
    this.#sink?.abort();
    this.#sink = null;
    this.#stamp = "";
  }
}

// What is in a folder: {entries, more, skipped, free}.
export async function listFolder(channel, folder, hidden) {
  channel.say({ do: "list", folder, hidden });
  const entries = [];
  for (;;) {
    const found = await channel.hear();
    if (found.do === "entries") entries.push(...found.entries);
    else return { ...found, entries };
  }
}

// Transfers of one direction. `passing(told)`: whether what the service has said may be over in a moment.
export class Lane {
  #line; #passing; #queue = []; #busy = false; #wake = null;

  constructor(ask, passing) {
    this.#line = new Line(ask);
    this.#passing = passing;
    addEventListener("online", () => this.#wake?.());
  }

  add(transfer) {
    this.#queue.push(transfer);
    this.#go();
  }

  async #go() {
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      if (!next.over) await this.#carry(next);
    }
    this.#busy = false;
  }

  async #carry(transfer) {
    let attempts = 0;
    let since = now();
    for (;;) {
      transfer.moved = false;
      try {
        transfer.signal.addEventListener("abort", () => {
          setTimeout(() => transfer.over || this.#line.drop(), CANCEL_SECONDS * 1000);
        }, { once: true });
        const channel = await this.#line.channel();
        transfer.checkCancelled();
        transfer.set("running");
        await transfer.run(channel);
        transfer.set("done");
        return;
      } catch (error) {
        if (transfer.moved) {
          attempts = 0;
          since = now();
        }
        const end = this.#end(transfer, error, now() - since > GIVE_UP_SECONDS);
        if (end) {
          transfer.set(...end);
          return;
        }
        transfer.set("lost", { told: error.told || "" });
        await this.#sleep(AGAIN_SECONDS[Math.min(attempts, AGAIN_SECONDS.length - 1)], transfer.signal);
        attempts += 1;
        if (transfer.over) return;
      }
    }
  }

  // The state in which a transfer ends by this error; null: it is tried again.
  #end(transfer, error, late) {
    if (transfer.signal.aborted) return ["cancelled"];
    if (error instanceof RefusedError) return AGAIN[transfer.way].includes(error.why) && !late ? null : ["failed", { why: error.why }];
    if (error instanceof SinkError) return error.why === "cancelled" ? ["cancelled"] : ["failed", { why: error.why }];
    if (error instanceof RequestError && error.status) {
      return error.status === 401 ? ["failed", { why: "signed-out" }] : ["failed", { told: error.message }];
    }
    if (error instanceof LostError || error instanceof RequestError) {
      if (error.told && !this.#passing(error.told)) return ["failed", { told: error.told }];
      return late ? ["failed", { why: "lost" }] : null;
    }
    console.error(error); // a file that was moved or changed meanwhile cannot be read any more
    this.#line.drop();
    return ["failed", { why: error instanceof DOMException ? "unreadable" : "failed" }];
  }

  #sleep(seconds, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#wake = () => { clearTimeout(timer); resolve(); };
      signal.addEventListener("abort", this.#wake, { once: true });
    });
  }
}
