// One desktop on the page: it connects, notices when the connection is dead, and connects again, with a new token each
// time. Events: `phase` (detail: see #tell), `clipboard` (detail.text), `clipboardmissed` (the desktop has a text that did
// not come), `size` (detail.own: as large as this window), `password` (detail.wrong): call sendPassword.
import Screen from "./rfb.js";

const BACK_OFF = [0.5, 1, 2, 4, 8, 15]; // seconds; the last one from then on
const GIVE_UP_AFTER = 15 * 60; // seconds without a connection
const BLOCKED_AFTER = 3; // websockets without a word from the service, on a page that was never connected
const STEADY_SECONDS = 10; // a connection that has held so long was a good one
const OPEN_SECONDS = 15; // for the websocket to open
const SHAKE_SECONDS = 25; // for the rest, once the desktop runs
const QUIET_SECONDS = 10; // without a byte: the server is asked for one pixel
const ANSWER_SECONDS = 8; // for that pixel
const TICK_SECONDS = 1;
const ASK_SECONDS = 15; // for a request to the portal
const ONE_PIXEL = new Uint8Array([3, 0, 0, 0, 0, 0, 0, 1, 0, 1]); // FramebufferUpdateRequest, not incremental (RFC 6143, 7.5.3)

const now = () => performance.now() / 1000;

// What the portal did not grant; `status` 0: it was not reached.
export class RequestError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// Ask the portal for JSON. Raises RequestError.
export async function ask(url, method = "GET", body = undefined) {
  let answer;
  let values;
  try {
    answer = await fetch(url, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(ASK_SECONDS * 1000),
    });
    values = await answer.json();
  } catch (error) {
    throw new RequestError(answer && !answer.ok ? answer.status : 0, String(error));
  }
  if (!answer.ok) {
    throw new RequestError(answer.status, values.error || "");
  }
  return values;
}

// The websocket's address, which may be relative to the page's: ws:// only where the page itself has no TLS.
export function websocketUrl(url) {
  const made = new URL(url, location.href);
  made.protocol = { "http:": "ws:", "https:": "wss:" }[made.protocol] || made.protocol;
  return made.href;
}

export class Connection extends EventTarget {
  #target; #ask; #look; #viewOnly; #scaling = "fit"; #leads = false; #zoomed = false; #been = false; #reached = false; #why = "";
  #rfb = null; #socket = null; #closed = null; #refused = "";
  #number = 0; // of the attempt; what belongs to an earlier one no longer counts
  #silent = 0; // websockets one after the other that ended without a word
  #phase = ""; #attempts = 0; #since = 0; #failing = 0; #heard = 0; #asked = 0; #opened = 0; #ticked = 0;
  #retry = null; #retryAt = 0; #running = false; #typedPassword = false; #tryAgain = false; #last = null;

  // `target`: where the screen goes. `ask()`: {protocol, url} for one connection. `look()`: how the desktop is, once the
  // connection has ended: what `phase` is to say with "ended"; null to connect again, or {wait}: the same, and why.
  constructor(target, ask, look, viewOnly = false) {
    super();
    this.#target = target;
    this.#ask = ask;
    this.#look = look;
    this.#viewOnly = viewOnly;
    setInterval(() => this.#tick(), TICK_SECONDS * 1000);
    this.#watchRatio();
    addEventListener("online", () => this.#nudge());
    addEventListener("offline", () => this.#probe());
    document.addEventListener("visibilitychange", () => document.hidden || this.#nudge());
    addEventListener("pageshow", (event) => event.persisted && this.#nudge());
  }

  get rfb() { return this.#phase === "connected" ? this.#rfb : null; }
  get phase() { return this.#phase; }
  get canvas() { return this.#target.querySelector("canvas:not(.last)"); }

  // Whether the desktop is as large as this window.
  get fills() {
    const box = this.#target.getBoundingClientRect();
    const ratio = this.#rfb?.ratio || 1;
    return this.canvas?.width === Math.floor(box.width * ratio) && this.canvas?.height === Math.floor(box.height * ratio);
  }

  // The service says that the desktop runs, so that only the handshake is missing.
  set running(running) { this.#running = running; }

  // fit, resize (the desktop is as large as the window), sharp (the same, with all pixels of the device) or original
  set scaling(scaling) {
    this.#scaling = scaling;
    this.#scale();
  }

  // Of several windows, this one decides how large the desktop is.
  get leads() { return this.#leads; }
  set leads(leads) {
    if (leads === this.#leads) return;
    this.#leads = leads;
    this.#scale();
  }

  // Nothing that is typed or clicked here goes to the desktop; counts from the next connection on.
  get viewOnly() { return this.#viewOnly; }
  set viewOnly(viewOnly) { this.#viewOnly = viewOnly; }

  // The user looks at a part of the screen: its size is not that of the window.
  set zoomed(zoomed) {
    if (zoomed === this.#zoomed) return;
    this.#zoomed = zoomed;
    this.#scale();
  }

  // The sign-in has ended.
  signOut() { this.#end({ phase: "signed-out", text: "signed_out" }); }

  // Connect now, whatever is going on.
  async connect() {
    const number = this.#drop();
    this.#attempts += 1;
    this.#failing ||= now();
    this.#tell("connecting");
    let ticket;
    try {
      ticket = await this.#ask();
    } catch (error) {
      this.#reached = false;
      if (number === this.#number) this.#askFailed(error);
      return;
    }
    if (number !== this.#number) return;
    this.#reached = true;
    try {
      this.#open(number, ticket);
    } catch (error) {
      console.error(error);
      this.#end({ text: "too_old" });
    }
  }

  // Leave for good.
  close() {
    this.#drop();
    this.#tell("closed");
  }

  // The answer to `password`; null: the user does not know it.
  sendPassword(password) {
    if (password === null) {
      this.#drop();
      this.#tell("ended", { text: "password_needed", again: true });
    } else {
      this.#typedPassword = true;
      // vncpasswd stores UTF-8, and noVNC takes each letter for a byte
      const bytes = String.fromCharCode(...new TextEncoder().encode(password));
      this.#rfb.sendCredentials({ password: bytes });
    }
  }

  #open(number, ticket) {
    const socket = new WebSocket(websocketUrl(ticket.url), ["binary", ticket.protocol]);
    const mine = (work) => (event) => number === this.#number && work(event);
    this.#heard = this.#opened = now();
    // before noVNC adds its own: when that tells the end, the reason is known
    socket.addEventListener("close", mine((event) => { this.#closed = event; }));
    socket.addEventListener("open", mine(() => { this.#opened = now(); }));
    socket.addEventListener("message", mine(() => { this.#heard = now(); }));
    const rfb = new Screen(this.#target, socket, { shared: true });
    this.#watchSize(mine);
    rfb.background = "transparent";
    rfb.viewOnly = this.#viewOnly;
    rfb.showDotCursor = !this.#viewOnly;
    rfb.addEventListener("connect", mine(() => this.#connected()));
    rfb.addEventListener("disconnect", mine(() => this.#disconnected()));
    rfb.addEventListener("securityfailure", mine((event) => { this.#refused = event.detail.reason || "?"; }));
    rfb.addEventListener("credentialsrequired", mine(() => this.#askPassword()));
    rfb.addEventListener("clipboard", mine((event) => this.#dispatch("clipboard", { text: event.detail.text })));
    rfb.addEventListener("clipboardmissed", mine(() => this.#dispatch("clipboardmissed", {})));
    this.#socket = socket;
    this.#rfb = rfb;
    this.#scale();
  }

  // The browser enlarges the page, or the window goes to another screen: a sharp desktop has another number of pixels then.
  #watchRatio() {
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => {
      this.#scale();
      this.#watchRatio();
    }, { once: true });
  }

  #watchSize(mine) {
    const canvas = this.#target.querySelector("canvas:not(.last)");
    const tell = mine(() => this.#dispatch("size", { own: this.fills }));
    new MutationObserver(tell).observe(canvas, { attributes: true, attributeFilter: ["width", "height"] });
  }

  #askPassword() {
    this.#dispatch("password", { wrong: this.#tryAgain });
    this.#tryAgain = false;
  }

  #connected() {
    this.#since = this.#heard = now();
    this.#asked = 0;
    this.#failing = 0;
    this.#been = true;
    this.#silent = 0;
    this.#why = "";
    this.#forgetLast();
    this.#tell("connected");
    this.#scale();
  }

  // noVNC says that it is over; or it is `hung`, and noVNC does not know.
  async #disconnected(hung = false) {
    const { code, reason } = this.#closed || { code: 0, reason: "" };
    const refused = this.#refused;
    const asked = this.#typedPassword && this.#phase !== "connected" && refused;
    this.#silent = reason || refused ? 0 : this.#silent + 1;
    if (this.#phase === "connected" && now() - this.#since > STEADY_SECONDS) this.#attempts = 0;
    const number = this.#drop(hung);
    this.#tell("lost");
    if (asked) {
      this.#tryAgain = true;
      this.connect();
      return;
    }
    const end = await this.#look({ code, reason: reason || refused, refused: Boolean(refused) });
    if (number !== this.#number) return;
    if (end && !end.wait) this.#end(end);
    else this.#wait(end?.wait || "");
  }

  #askFailed(error) {
    if (!(error instanceof RequestError)) throw error;
    if (error.status === 401) this.signOut();
    else if ([403, 404, 409, 410].includes(error.status)) {
      this.#look({ code: 0, reason: "", refused: false }).then((end) => this.#end(end && !end.wait ? end : { words: error.message }));
    } else this.#wait();
  }

  #end({ phase = "ended", ...detail }) {
    this.#drop();
    this.#failing = this.#attempts = this.#silent = 0;
    this.#tell(phase, detail);
  }

  #wait(why = "") {
    this.#why = why;
    if (now() - this.#failing > GIVE_UP_AFTER && this.#failing) {
      this.#end({ text: "gave_up", again: true });
      return;
    }
    this.#failing ||= now();
    const step = BACK_OFF[Math.min(this.#attempts, BACK_OFF.length - 1)];
    const seconds = step * (0.8 + 0.4 * Math.random()); // not all browsers at once
    this.#retryAt = now() + seconds;
    this.#retry = setTimeout(() => this.connect(), seconds * 1000);
    this.#tellWaiting();
  }

  #tellWaiting() {
    // browsers take a device for offline that has a network of a kind they do not know: who has just asked knows better
    const offline = !navigator.onLine && !this.#reached;
    const never = !this.#reached ? "no_portal" : this.#silent >= BLOCKED_AFTER ? "blocked" : "not_reached";
    const state = offline ? "offline" : this.#been ? "lost" : never;
    this.#tell("waiting", { seconds: Math.max(1, Math.ceil(this.#retryAt - now())), text: state, why: this.#why });
  }

  // End what there is, and keep the last picture. Returns the number of the attempt that may follow.
  #drop(connected = true) {
    this.#number += 1;
    clearTimeout(this.#retry);
    this.#retry = null;
    const rfb = this.#rfb;
    this.#rfb = this.#socket = null;
    if (rfb) {
      if (this.#phase === "connected") this.#keepLast(rfb);
      if (connected) rfb.disconnect();
    }
    this.#closed = null;
    this.#refused = "";
    this.#typedPassword = false;
    return this.#number;
  }

  #keepLast(rfb) {
    this.#forgetLast();
    const image = rfb.getImageData();
    this.#last = document.createElement("canvas");
    this.#last.className = "last";
    this.#last.width = image.width;
    this.#last.height = image.height;
    this.#last.getContext("2d").putImageData(image, 0, 0);
    this.#target.append(this.#last);
  }

  #forgetLast() {
    this.#last?.remove();
    this.#last = null;
  }

  #scale() {
    if (!this.#rfb) return;
    const follows = this.#scaling === "resize" || this.#scaling === "sharp";
    this.#rfb.ratio = this.#scaling === "sharp" ? devicePixelRatio : 1;
    this.#rfb.scaleViewport = this.#scaling !== "original" || this.#zoomed; // also where the server keeps its size
    this.#rfb.resizeSession = follows && this.#leads && !this.#zoomed;
  }

  // The network may have come or gone, or the device may have slept.
  #nudge() {
    if (this.#phase === "waiting") this.connect();
    else this.#probe();
  }

  #probe() {
    if (this.#phase === "connected" && !this.#asked && this.#socket.readyState === WebSocket.OPEN) {
      this.#asked = now();
      // noVNC sends whole messages, one after another, so this one does not fall into another
      this.#socket.send(ONE_PIXEL);
    }
  }

  #tick() {
    const slept = now() - this.#ticked > 5 * TICK_SECONDS;
    this.#ticked = now();
    if (this.#phase === "connected") {
      if (this.#heard > this.#asked) this.#asked = 0;
      if (this.#asked && slept) this.#asked = now();
      if (this.#asked && now() - this.#asked > ANSWER_SECONDS) this.#disconnected(true);
      else if (now() - this.#heard > QUIET_SECONDS) this.#probe();
    } else if (this.#phase === "connecting" && this.#socket) {
      const open = this.#socket.readyState === WebSocket.OPEN;
      if (!open && now() - this.#opened > OPEN_SECONDS) this.#disconnected(true);
      const asking = document.querySelector("dialog[open]") !== null; // the user types a password
      if (open && this.#running && !asking && now() - this.#heard > SHAKE_SECONDS) this.#disconnected(true);
    } else if (this.#phase === "waiting") {
      this.#tellWaiting();
    }
  }

  // Phases: connecting, connected, lost (for a moment), waiting {seconds, text: name of a text, why}, ended {text, words,
  // more, again}, signed-out, closed.
  #tell(phase, detail = {}) {
    this.#phase = phase;
    this.#dispatch("phase", { phase, ...detail });
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
