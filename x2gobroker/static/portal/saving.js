// Where a download goes: by a service worker to the browser's own downloads, as it comes; where there is none, as in
// private windows of some browsers, through memory.
import { page } from "./cover.js";

const MOST_IN_MEMORY = 1 << 28;
const BEGIN_SECONDS = 10; // for the browser to ask for the first part
const TAKE_SECONDS = 24 * 3600; // for the user to say where it goes
const PING_SECONDS = 10; // browsers end service workers that nobody speaks to
const KEEP_SECONDS = 60; // for a browser to take a file out of memory

// It cannot be saved; `why` is a word for the user.
export class SinkError extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

// Somewhere to write the parts of a file: write(part), close(), abort(). Raises SinkError.
export async function openSink(name, size, signal) {
  const worker = await findWorker();
  if (worker) {
    const sink = new WorkerSink(worker, name, size, signal);
    if (await sink.begins()) return sink;
    sink.abort();
    if (signal.aborted) throw new SinkError("cancelled");
  }
  if (size > MOST_IN_MEMORY) throw new SinkError("memory");
  return new MemorySink(name);
}

async function findWorker() {
  const address = new URL(page.dataset.saver, location.href);
  const scope = new URL("save/", address).href;
  try {
    for (const old of await navigator.serviceWorker.getRegistrations()) {
      if (old.scope !== scope && old.scope.endsWith("/portal/save/")) await old.unregister(); // of an earlier version
    }
    const registration = await navigator.serviceWorker.register(address, { scope });
    const worker = registration.active || registration.waiting || registration.installing;
    if (worker.state !== "activated") await activated(worker);
    return worker;
  } catch (error) {
    console.debug(error); // there are none here
    return null;
  }
}

function activated(worker) {
  return new Promise((resolve, reject) => {
    setTimeout(reject, BEGIN_SECONDS * 1000, new Error("the service worker does not begin"));
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("the service worker has ended"));
    });
  });
}

class WorkerSink {
  #worker; #port; #frame; #pings; #signal; #sent = 0; #most = 0; #cancelled = false; #wake = null;

  constructor(worker, name, size, signal) {
    this.#worker = worker;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }) => {
      if (data === "cancel") this.#cancelled = true;
      else this.#most = data.taken + data.most; // so many parts may have been sent
      this.#wake?.();
    };
    const id = crypto.randomUUID();
    worker.postMessage({ do: "offer", id, name, size }, [port2]);
    this.#frame = document.createElement("iframe");
    this.#frame.hidden = true;
    this.#frame.title = name;
    this.#frame.src = new URL(`save/${id}`, new URL(page.dataset.saver, location.href)).href;
    document.body.append(this.#frame);
    this.#pings = setInterval(() => this.#worker.postMessage({ do: "ping" }), PING_SECONDS * 1000);
  }

  // Whether the browser has taken it up.
  begins() {
    return this.#pulled(BEGIN_SECONDS);
  }

  async write(part) {
    if (!(await this.#pulled(TAKE_SECONDS))) throw new SinkError("cancelled");
    this.#sent += 1;
    this.#port.postMessage(part, [part]);
  }

  async close() {
    this.#port.postMessage("end");
    this.#leave();
  }

  abort() {
    this.#port.postMessage("abort");
    this.#leave();
  }

  // The frame stays for a while: in some browsers the download ends with it.
  #leave() {
    setTimeout(() => {
      clearInterval(this.#pings);
      this.#frame.remove();
      this.#port.close();
    }, KEEP_SECONDS * 1000);
  }

  #pulled(seconds) {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), seconds * 1000);
      this.#wake = () => {
        const cancelled = this.#cancelled || this.#signal.aborted;
        if (this.#sent >= this.#most && !cancelled) return;
        clearTimeout(late);
        this.#wake = null;
        resolve(!cancelled);
      };
      this.#wake();
    });
  }
}

class MemorySink {
  #name; #parts = [];

  constructor(name) {
    this.#name = name;
  }

  async write(part) {
    this.#parts.push(part);
  }

  async close() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(this.#parts, { type: "application/octet-stream" }));
    link.download = this.#name;
    this.abort();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEEP_SECONDS * 1000);
  }

  abort() {
    this.#parts = [];
  }
}
