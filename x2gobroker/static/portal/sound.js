// The sound of the desktop. It comes over a connection of its own, in the words of remote/sound/messages.py, which a
// worker reads (sound-worker.js), so that it does not wait for pictures; what plays it is sound-player.js.
import { RequestError, ask, websocketUrl } from "./connection.js";
import { by, page, said, speak, text } from "./cover.js";
import { remember, remembered } from "./remember.js";

const RATE = 48000; // samples in a second
const AGAIN = [1, 2, 4, 8, 15]; // seconds until it is tried again; the last one from then on
const STEADY_SECONDS = 10; // a connection that has held so long was a good one
const ALLOW_SECONDS = 2; // for the browser to let it be heard, where the user has done something
const SAID_SECONDS = 10;
const REFUSED = 4000; // the close code of what a user is told
const KEPT = "sound";
const GESTURES = ["pointerdown", "keydown", "touchend"];

// Whether this browser can play it at all.
const able = () => "AudioWorkletNode" in window;

// The user has done something, and still it is not: then there is nothing to hear it by.
const whyNotHeard = () => text(navigator.userActivation?.hasBeenActive ? "sound_no_output" : "sound_gesture");

// What plays it. Browsers keep it silent until the user has done something on the page.
class Player {
  #context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
  #node;

  // `heard()` is called when it is, from then on.
  constructor(heard) {
    this.#context.addEventListener("statechange", () => this.heard && heard());
    this.#node = this.#context.audioWorklet.addModule(page.dataset.soundPlayer).then(() => {
      const node = new AudioWorkletNode(this.#context, "desktop-sound", { numberOfInputs: 0, outputChannelCount: [2] });
      node.connect(this.#context.destination);
      return node;
    });
  }

  get heard() { return this.#context.state === "running"; }

  // To be called where the user has just done something. The promise is open as long as the browser does not allow it.
  resume() { this.#context.resume().catch(console.debug); }

  // Where the chunks of one connection go.
  async port() {
    const { port1, port2 } = new MessageChannel();
    (await this.#node).port.postMessage(port1, [port1]);
    return port2;
  }

  close() { return this.#context.close(); }
}

class Sound {
  #connection; #button; #player = null; #worker = null; #beginning = false; #wanted = false; #failed = false;
  #retry = null; #attempts = 0; #since = 0; #hide = null; #asking = null;

  constructor(connection, button) {
    this.#connection = connection;
    this.#button = button;
    connection.addEventListener("phase", ({ detail }) => {
      this.#end();
      this.#attempts = 0;
      if (detail.phase === "connected") this.#tryNow();
    });
    button.addEventListener("click", () => {
      this.#want(this.#failed || !this.#wanted);
      remember(KEPT, this.#wanted ? "on" : "");
    });
    const gesture = (event) => !button.contains(event.target) && this.#player && !this.#player.heard && this.#player.resume();
    for (const name of GESTURES) addEventListener(name, gesture, true);
    if (remembered(KEPT) === "on") this.#want(true);
  }

  #want(wanted) {
    this.#wanted = wanted;
    this.#say("");
    if (wanted) {
      this.#tryNow();
      return;
    }
    // off: nothing is recorded any more, and the browser's mark that this page plays goes away
    this.#end();
    this.#player?.close();
    this.#player = null;
    this.#show();
  }

  #tryNow() {
    this.#failed = false;
    this.#show();
    if (!this.#wanted) return;
    if (!able()) {
      this.#fail(text("sound_not_able"));
      return;
    }
    this.#player ??= new Player(() => this.#begin());
    this.#player.resume();
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => this.#player && !this.#player.heard && this.#say(whyNotHeard()), ALLOW_SECONDS * 1000);
    this.#begin();
  }

  // Connect, where it can be heard and there is a desktop.
  async #begin() {
    if (!this.#player?.heard || this.#failed || this.#beginning || this.#worker || this.#connection.phase !== "connected") return;
    this.#beginning = true;
    const player = this.#player;
    try {
      const port = await player.port();
      const { protocol, url } = await ask(page.dataset.token, "POST");
      if (player === this.#player && this.#connection.phase === "connected") this.#open(websocketUrl(url), protocol, port);
    } catch (error) {
      if (error instanceof RequestError) this.#again();
      else {
        console.error(error);
        this.#fail(text("sound_not_able"));
      }
    } finally {
      this.#beginning = false;
    }
  }

  #open(url, protocol, port) {
    const worker = new Worker(page.dataset.soundWorker);
    this.#worker = worker;
    this.#since = performance.now();
    worker.addEventListener("message", ({ data }) => this.#worker === worker && this.#hear(data));
    worker.addEventListener("error", (event) => {
      console.error(event.message);
      if (this.#worker === worker) this.#fail(text("sound_not_able"));
    });
    worker.postMessage({ url, protocol, port }, [port]);
  }

  // What the worker says of its connection.
  #hear({ what, code, reason }) {
    if (what === "open") this.#say("");
    else if (what === "none") this.#fail(text("sound_none"));
    else if (code === REFUSED) this.#fail(said(reason));
    else {
      this.#end();
      this.#again();
    }
  }

  #again() {
    if (performance.now() - this.#since > STEADY_SECONDS * 1000) this.#attempts = 0;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#begin(), AGAIN[Math.min(this.#attempts, AGAIN.length - 1)] * 1000);
    this.#attempts += 1;
  }

  // There is none, and trying again by itself would not help: the user may, or it is tried with the next connection.
  #fail(words) {
    this.#end();
    this.#failed = true;
    this.#show();
    this.#say(words);
  }

  #end() {
    clearTimeout(this.#retry);
    this.#worker?.terminate();
    this.#worker = null;
  }

  #show() {
    this.#button.setAttribute("aria-pressed", String(this.#wanted && !this.#failed));
  }

  #say(words) {
    clearTimeout(this.#hide);
    const place = by("sound-said");
    place.textContent = words;
    place.hidden = !words;
    if (!words) return;
    speak(words);
    this.#hide = setTimeout(() => { place.hidden = true; }, SAID_SECONDS * 1000);
  }
}

export function setUpSound(connection) {
  const button = by("sound");
  if (button) new Sound(connection, button);
}
